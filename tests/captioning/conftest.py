"""Tiny taggers and captioners, folders of pictures, and a history that only writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.culling.history import Done
from tests.captioning.makers import SIDE, MakeTagger, tag_list, weights_of
from tests.captioning.onnx_bytes import linear_model


@pytest.fixture
def make_tagger(tmp_path: Path) -> MakeTagger:
    """Write a tagger's folder; gives its path."""

    def make(
        name: str = "Tagger 图",
        shape: list[int | str] | None = None,
        bias: np.ndarray | None = None,
        still: bool = False,
        tags: str | None = None,
        declared: int | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        weights, usual = weights_of()
        weights = weights * 0 if still else weights
        data = linear_model(
            shape or ["batch", SIDE, SIDE, 3], weights, usual if bias is None else bias, declared
        )
        (folder / "model.onnx").write_bytes(data)
        (folder / "selected_tags.csv").write_text(tag_list() if tags is None else tags, "utf-8")
        return folder

    return make


@pytest.fixture
def sure_tagger(make_tagger: MakeTagger) -> Path:
    """A tagger that gives every picture the same: 1girl, long_hair and hatsune_miku."""
    bias = np.array([2, -2, 4, 3, -4, -4, 5, -4], np.float32)
    return make_tagger("sure", bias=bias, still=True)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Four pictures in a folder with a space and letters of another script, one with a caption."""
    folder = tmp_path / "Bilder 图"
    folder.mkdir()
    paths = []
    for number in range(4):
        path = folder / f"bild {number}.png"
        Image.new("RGB", (20 + number, 12), (40 * number, 90, 160)).save(path)
        paths.append(path)
    paths[1].with_suffix(".txt").write_text("a robot, rain\r\nA robot stands.\r\n", newline="")
    return paths


class WritingHistory:
    """Stands in for the undo history: remembers its calls and writes the files."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[Path, str | None], str]] = []

    def write_texts(self, changes: Mapping[Path, str | None], label: str, *_more: object) -> Done:
        self.calls.append((dict(changes), label))
        for path, text in changes.items():
            assert text is not None
            path.write_bytes(text.encode("utf-8"))
        return Done(label, tuple(path.with_suffix(".png") for path in changes), ())


@pytest.fixture
def history() -> WritingHistory:
    return WritingHistory()


@pytest.fixture(scope="session")
def tiny_blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BLIP captioner of random weights that knows fourteen words."""
    import torch
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessorPil,
        BlipProcessor,
    )

    folder = tmp_path_factory.mktemp("models") / "tiny blip"
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] [DEC] [ENC] a red robot photo of stands in rain"
    names = words.split()
    text = {
        **{"vocab_size": len(names), "hidden_size": 16, "encoder_hidden_size": 16},
        **{"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
        **{"max_position_embeddings": 48, "bos_token_id": 5, "pad_token_id": 0},
        **{"eos_token_id": 3, "sep_token_id": 3, "projection_dim": 8},
    }
    vision = {
        **{"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1},
        **{"num_attention_heads": 2, "image_size": 32, "patch_size": 16, "projection_dim": 8},
    }
    torch.manual_seed(0)
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=8)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(names)})
    pictures = BlipImageProcessorPil(size={"height": 32, "width": 32})
    BlipProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_florence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Florence-2 captioner of random weights that writes single letters."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        BartTokenizer,
        CLIPImageProcessorPil,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
        GenerationConfig,
    )

    folder = tmp_path_factory.mktemp("models") / "tiny florence"
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    tokenizer = BartTokenizer(
        vocab={name: number for number, name in enumerate(names)},
        merges=[],
        extra_special_tokens={"image_token": "<image>"},
    )
    marks = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    text = {
        **{"model_type": "bart", "vocab_size": len(tokenizer), "d_model": 16},
        **{"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2},
        **{"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16},
        **{"max_position_embeddings": 128, **marks},
    }
    vision = {
        **{"depths": [1, 1, 1, 1], "embed_dim": [8, 8, 16, 16], "num_heads": [1, 1, 2, 2]},
        **{"num_groups": [1, 1, 2, 2], "window_size": 2, "projection_dim": 16},
        "drop_path_rate": 0.0,
    }
    torch.manual_seed(0)
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    config = Florence2Config(text_config=text, vision_config=vision, image_token_id=image_token)
    model = Florence2ForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**marks, num_beams=3)
    model.save_pretrained(folder)
    pictures = CLIPImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False)
    pictures.image_seq_length = 5
    Florence2Processor(pictures, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_blip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BLIP-2 captioner of random weights that writes single letters."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessorPil,
        GPT2Tokenizer,
    )

    folder = tmp_path_factory.mktemp("models") / "tiny blip2"
    names = ["<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet())]
    marks = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = GPT2Tokenizer(vocab=vocabulary, merges=[], **marks)
    pictures = BlipImageProcessorPil(size={"height": 32, "width": 32})
    processor = Blip2Processor(pictures, tokenizer, num_query_tokens=4)
    small = {
        **{"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1},
        "num_attention_heads": 2,
    }
    text = {
        **{"model_type": "opt", "vocab_size": len(processor.tokenizer), "hidden_size": 16},
        **{"ffn_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"max_position_embeddings": 128, "word_embed_proj_dim": 16},
        **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1},
    }
    torch.manual_seed(0)
    config = Blip2Config(
        vision_config={**small, "image_size": 32, "patch_size": 16},
        qformer_config={**small, "encoder_hidden_size": 16, "vocab_size": 32},
        text_config=text,
        num_query_tokens=4,
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
    )
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
