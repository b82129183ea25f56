"""Kolors: Stable Diffusion XL's UNet and VAE, read to by ChatGLM3.

The text encoder has two and a half times the UNet's weights. It learns nothing, so it is loaded
first, reads all captions and is given up before the UNet is loaded. Folders come in three layouts:
that of diffusers, the one of the makers (the tokenizer lies beside the text encoder, the index
names another pipeline), and ComfyUI's, where each part is a file of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError, fail
from core.families import unet_memory
from core.families.base import (
    BaseModelFile,
    Conditioning,
    FamilyInfo,
    Loading,
    Part,
    PartFiles,
    TokenRule,
)
from core.families.configs import ChatGLMSettings, damaged, read_config
from core.families.folders import read_unet_folder, weight_files
from core.families.header import read_header
from core.families.kinds import Shapes
from core.families.sdxl import told_of_pictures
from core.families.unet_parts import UNET, VAE
from core.model_families import FAMILIES
from core.paths import resources_dir

if TYPE_CHECKING:
    import torch

    from core.families.sources import Source
    from core.families.unet_model import UNetModel

_TEXT = Part(
    name="text_encoder",
    role="text",
    title="text encoder",
    folder="text_encoder",
    stem="model",
    tokenizer="tokenizer",
    passing=True,
    skips=False,
)
# What the encoder was trained with: so many tokens, padded on the left; two begin each caption.
_LENGTH = 256
INFO = FamilyInfo(
    name="kolors",
    title=FAMILIES["kolors"].title,
    parts=(UNET, _TEXT, VAE),
    # The makers' own folder names SDXL's pipeline.
    pipelines=("KolorsPipeline", "KolorsImg2ImgPipeline", "StableDiffusionXLPipeline"),
    default_resolution=1024,
    bucket_step=8,
    architecture="kolors/lora",
    base_version="kolors",
    tokens=TokenRule(room=_LENGTH - 2, rows=_LENGTH, whole=False),
)
_VOCABULARY = "tokenizer.model"
# A tensor that every ChatGLM has; whole language models put a prefix before all names.
_PREFIXES = ("", "transformer.")
_TELLING = "encoder.layers.0.self_attention.query_key_value.weight"
_ROPE = "rotary_pos_emb.inv_freq"


class KolorsText:
    """ChatGLM's last layer but one for each token, and its last for the last token."""

    def __init__(self, tokenizer: Any, encoder: Any) -> None:
        self.tokenizer, self.encoder = tokenizer, encoder
        self.width = int(encoder.config.hidden_size)

    def length(self, caption: str) -> int:
        """The same for every caption."""
        return _LENGTH

    def count(self, caption: str) -> int:
        """Tokens of a caption without the two that begin each."""
        return len(self.tokenizer(caption, add_special_tokens=False).input_ids)

    def encode(self, captions: Sequence[str], length: int | None = None) -> Conditioning:
        """`embeddings` (B, 256, D) and `pooled` (B, D); what is beyond 254 tokens is cut off."""
        device = next(self.encoder.parameters()).device
        tokens = self.tokenizer(
            list(captions),
            padding="max_length",
            max_length=_LENGTH,
            truncation=True,
            return_tensors="pt",
        ).to(device)
        states = self.encoder(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            position_ids=tokens["position_ids"],
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
        # ChatGLM has tokens before captions.
        embeddings = states[-2].transpose(0, 1).contiguous()
        return {"embeddings": embeddings, "pooled": states[-1][-1].clone()}


class _Kolors:
    """The Kolors family."""

    info = INFO
    activations = staticmethod(unet_memory.activations)

    def matches(self, shapes: Shapes) -> bool:
        """Whether a single file is the UNet of a Kolors model, as ComfyUI's users have it."""
        return (
            len(shapes.get("encoder_hid_proj.weight", ())) == 2
            and shapes.get("conv_in.weight", ())[1:2] == (4,)
            and "add_embedding.linear_1.weight" in shapes
        )

    def matches_folder(self, index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> bool:
        """Whether a folder holds SDXL's UNet with a projection of wider embeddings before it."""
        return (
            denoiser.get("encoder_hid_dim_type") == "text_proj"
            and denoiser.get("addition_embed_type") == "text_time"
            and denoiser.get("in_channels", 4) == denoiser.get("out_channels", 4)
        )

    def read_folder(self, folder: Path) -> BaseModelFile:
        """What a folder holds. Raises UserError as `read_unet_folder` does, and `base_pickle` for
        a text encoder in that format."""
        text = {_TEXT.name: _text_files(folder, [folder])}
        return read_unet_folder(folder, INFO, text, _check, _bundled(VAE))

    def read_file(self, file: BaseModelFile) -> BaseModelFile:
        """The model of a UNet's file, with the text encoder that lies in ComfyUI's folders.

        Raises UserError `base_incomplete` where there is none.
        """
        text = _text_files(file.path, [file.path.parent, file.path.parent.parent])
        _check(_TEXT, text)
        unet = PartFiles((file.path,), _bundled(UNET))
        return replace(file, elsewhere={UNET.name: unet, _TEXT.name: text})

    def load(self, file: BaseModelFile, how: Loading) -> UNetModel:
        """Load fully offline, weights frozen and in eval mode; the UNet when it is needed.

        Raises UserError as `load_unet_model` does.
        """
        from core.families.unet_model import load_unet_model

        def make_text(
            sources: Mapping[str, Source], digest: Any
        ) -> tuple[dict[str, Any], KolorsText]:
            source = sources[_TEXT.name]
            encoder = _build_encoder(source)
            _fill_encoder(encoder, source, how.dtype, digest)
            assert source.tokenizer is not None
            tokenizer = _load_tokenizer(source.tokenizer, digest)
            return {_TEXT.name: encoder}, KolorsText(tokenizer, encoder)

        def refill(encoder: Any, source: Source) -> None:
            _fill_encoder(encoder, source, how.dtype)

        return load_unet_model(INFO, file, how, make_text, told_of_pictures, refill)

    def build_tiny(self, folder: Path, seed: int) -> Path:
        """Write a tiny random model of this family in diffusers format, for tests."""
        from core.families.tiny import build_tiny_kolors

        return build_tiny_kolors(folder, seed)


def _bundled(part: Part) -> Path:
    return resources_dir() / "models" / INFO.name / part.folder / "config.json"


def _check(part: Part, files: PartFiles) -> None:
    """Refuse a text encoder whose settings or vocabulary make no sense.

    Raises UserError `base_incomplete`, `base_unreadable` or `base_unexpected_weights`.
    """
    from sentencepiece import SentencePieceProcessor

    settings = read_config(files.config, ChatGLMSettings)
    assert files.tokenizer is not None
    vocabulary = files.tokenizer / _VOCABULARY
    try:
        pieces = SentencePieceProcessor(model_file=str(vocabulary)).get_piece_size()
    except Exception as error:
        raise damaged(vocabulary, f"cannot be read ({error})") from error
    if pieces > settings.padded_vocab_size:
        raise fail(
            "base_unexpected_weights",
            f"{vocabulary.parent.name}/{vocabulary.name} has {pieces} tokens, but the text encoder "
            f"knows only {settings.padded_vocab_size}; the folder mixes two models.",
            file=str(vocabulary),
        )


def _text_files(model: Path, roots: Sequence[Path]) -> PartFiles:
    """Where the text encoder of a model lies: in one of the folders `roots`, or in ComfyUI's.

    Raises UserError `base_incomplete` or `base_pickle`.
    """
    weights = _text_weights(model, roots)
    beside = weights[0].parent
    folders = [root / name for root in roots for name in (_TEXT.tokenizer, _TEXT.folder, "")]
    tokenizers = [beside, *folders, *_comfy_tokenizers(model)]
    tokenizer = next((one for one in tokenizers if (one / _VOCABULARY).is_file()), None)
    if tokenizer is None:
        raise fail(
            "base_incomplete",
            f"{model.name} lacks {_VOCABULARY}, the vocabulary of its text encoder; copy it from "
            f"the Kolors model into {beside}.",
            file=str(model),
        )
    config = beside / "config.json"
    return PartFiles(weights, config if config.is_file() else _bundled(_TEXT), tokenizer)


def _text_weights(model: Path, roots: Sequence[Path]) -> tuple[Path, ...]:
    refused: UserError | None = None
    for root in roots:
        try:
            return tuple(weight_files(root / _TEXT.folder, _TEXT.stem))
        except UserError as error:
            if error.problem.code == "base_pickle":
                refused = error
            elif (root / _TEXT.folder / "model.safetensors.index.json").is_file():
                raise
    shrunk: Path | None = None
    for file in _single_files(model, roots):
        try:
            names = read_header(file).shapes.keys()
        except UserError:
            continue
        if not any(prefix + _TELLING in names for prefix in _PREFIXES):
            continue
        if not any(name.endswith("weight_scale") for name in names):
            return (file,)
        shrunk = file
    if refused is not None:
        raise fail(
            "base_pickle",
            f"The text encoder of {model.name} is in the pickle format, which can run programs "
            "when opened, so Limner never loads it; put chatglm3-fp16.safetensors beside it, or "
            "choose the Kolors-diffusers folder.",
            file=refused.problem.file,
        )
    known = f" ({shrunk.name} is quantized, which cannot be read)" if shrunk else ""
    raise fail(
        "base_incomplete",
        f"{model.name} comes without its text encoder{known}; put chatglm3-fp16.safetensors into "
        "the model's text_encoder folder or into ComfyUI's models/LLM.",
        file=str(model),
    )


def _single_files(model: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """Files that may be a whole text encoder, the likeliest first."""
    folders = [root / _TEXT.folder for root in roots]
    if (models := _comfy_models(model)) is not None:
        folders += [models / "LLM", models / "LLM" / "checkpoints", models / "text_encoders"]
    for folder in folders:
        found = folder.glob("*.safetensors")
        yield from sorted(found, key=lambda file: ("glm" not in file.name.lower(), file.name))


def _comfy_models(model: Path) -> Path | None:
    """ComfyUI's folder `models` above a model."""
    return next((one for one in list(model.parents)[:4] if one.name == "models"), None)


def _comfy_tokenizers(model: Path) -> Iterator[Path]:
    """Where the nodes for Kolors keep the vocabulary."""
    models = _comfy_models(model)
    if models is None:
        return
    yield models / "LLM"
    nodes = models.parent / "custom_nodes"
    for pattern in ("*olors*/configs/*", "*olors*/*/*", "*olors*/*"):
        yield from sorted(one for one in nodes.glob(pattern) if one.is_dir())


def _build_encoder(source: Source) -> Any:
    """A ChatGLMModel without weights. Raises UserError as `build` does."""
    import torch
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    from core.families.configs import read_json
    from core.families.weights import build

    config = read_json(source.config)

    def make() -> Any:
        encoder = ChatGLMModel(ChatGLMConfig(**config), empty_init=False)
        # It predicts the next token, which nobody asks for.
        encoder.output_layer = torch.nn.Identity()
        return encoder

    return build(make, source.config)


def _fill_encoder(encoder: Any, source: Source, dtype: torch.dtype, digest: Any = None) -> None:
    """Put the stored weights into it, in main memory. Raises UserError as `fill` does."""
    import torch

    from core.families.weights import fill

    # Its number format alone matters: the network works the frequencies out at each call.
    rope = encoder.rotary_pos_emb
    frequencies = torch.zeros(rope.inv_freq.shape, dtype=dtype)
    rope.register_buffer("inv_freq", frequencies, persistent=False)

    def ignore(name: str) -> bool:
        return name.endswith((_ROPE, "output_layer.weight"))

    fill(
        encoder,
        source.tensors,
        lambda name: [prefix + name for prefix in _PREFIXES],
        what=_TEXT.title,
        dtype=dtype,
        ignore=ignore,
        digest=digest,
    )


def _load_tokenizer(folder: Path, digest: Any) -> Any:
    """ChatGLM's tokenizer. Raises UserError `base_unreadable`."""
    from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer

    settings = folder / "tokenizer_config.json"
    digest.update((folder / _VOCABULARY).read_bytes())
    try:
        if settings.is_file():
            digest.update(settings.read_bytes())
            return ChatGLMTokenizer.from_pretrained(str(folder), local_files_only=True)
        return ChatGLMTokenizer(str(folder / _VOCABULARY))
    except Exception as error:
        raise fail(
            "base_unreadable",
            f"The tokenizer in {folder} cannot be read; download or copy the model again.",
            detail=str(error),
            file=str(folder),
        ) from error


FAMILY = _Kolors()
