"""BLIP and Florence-2 captioners, tiny and random, loaded and run as real ones are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from core import hardware
from core.captioning.options import CaptionOptions
from core.captioning.vlm import Captioner, model_kind
from core.errors import UserError
from tests.captioning.test_worker import collect


def options(folder: Path, **more: object) -> CaptionOptions:
    return CaptionOptions(captioner=str(folder), device="cpu", **more)  # type: ignore[arg-type]


def images() -> list[Image.Image]:
    return [Image.new("RGB", (50, 40), color) for color in ("red", "green", "blue")]


def transformers_says(folder: Path, prompt: str, tokens: int) -> list[str]:
    """The captions as transformers' own documentation makes them."""
    import torch
    from transformers import AutoProcessor, BlipForConditionalGeneration

    processor = AutoProcessor.from_pretrained(folder)
    model = BlipForConditionalGeneration.from_pretrained(folder)
    found = []
    for image in images():
        words = {"text": prompt} if prompt else {}
        inputs = processor(images=image, return_tensors="pt", **words)
        with torch.no_grad():
            result = model.generate(**inputs, max_new_tokens=tokens)
        found.append(processor.decode(result[0], skip_special_tokens=True))
    return found


@pytest.mark.parametrize("prompt", ["", "a photo of"])
def test_blip_captions_as_transformers_does(tiny_blip: Path, prompt: str):
    captioner = Captioner(tiny_blip, options(tiny_blip, prompt=prompt, max_tokens=6))
    found = captioner.describe([captioner.prepare(image) for image in images()])
    assert found == transformers_says(tiny_blip, prompt, 6)
    assert captioner.provider == "cpu, float32" and captioner.kind == "blip"
    assert all(prompt in caption for caption in found) and all(found)


def test_the_same_picture_gets_the_same_caption(tiny_blip: Path):
    captioner = Captioner(tiny_blip, options(tiny_blip, max_tokens=12))
    one = captioner.describe(images())
    assert captioner.describe(images()) == one
    assert [captioner.describe([image])[0] for image in images()] == one


def test_a_longest_caption_is_kept(tiny_blip: Path):
    short = Captioner(tiny_blip, options(tiny_blip, max_tokens=2)).describe(images())
    long = Captioner(tiny_blip, options(tiny_blip, max_tokens=20)).describe(images())
    assert all(len(a.split()) < len(b.split()) for a, b in zip(short, long, strict=True))


def test_florence_takes_tasks(tiny_florence: Path):
    captioner = Captioner(tiny_florence, options(tiny_florence, max_tokens=8))
    found = captioner.describe(images())
    assert len(found) == 3 and not any("<" in text and "s>" in text for text in found)
    plain = Captioner(tiny_florence, options(tiny_florence, prompt="<CAPTION>", max_tokens=8))
    assert len(plain.describe(images())) == 3


def test_a_task_with_words_behind_it_is_refused(tiny_florence: Path):
    with pytest.raises(UserError) as error:
        Captioner(tiny_florence, options(tiny_florence, prompt="<CAPTION> of a cat"))
    assert error.value.problem.setting == "prompt"


@pytest.mark.parametrize("prompt", ["", "Question: what is it? Answer:"])
def test_blip2_captions_alone_and_together(tiny_blip2: Path, prompt: str):
    captioner = Captioner(tiny_blip2, options(tiny_blip2, prompt=prompt, max_tokens=6))
    assert captioner.kind == "blip-2"
    together = captioner.describe(images())
    assert together == [captioner.describe([image])[0] for image in images()]
    assert all(together) and not any("<image>" in text or "Question" in text for text in together)


def test_half_precision_works(tiny_blip: Path, monkeypatch: pytest.MonkeyPatch):
    captioner = Captioner(tiny_blip, options(tiny_blip, dtype="bfloat16", max_tokens=4))
    monkeypatch.setattr(hardware, "_cpu_flags", lambda: {"avx2"})
    assert captioner.provider == "cpu, bfloat16, slow on this processor: float32 is faster"
    monkeypatch.setattr(hardware, "_cpu_flags", lambda: {"avx512_bf16"})
    assert captioner.provider == "cpu, bfloat16" and len(captioner.describe(images())) == 3


@pytest.fixture
def copied(tiny_blip: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(tiny_blip, tmp_path / "copy 图"))


def describe_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def code_of(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        Captioner(folder, options(folder))
    assert str(folder) in error.value.problem.title
    return error.value.problem.code


def test_florence_with_its_own_code_is_refused(copied: Path):
    describe_config(copied, model_type="florence2", vision_config={"model_type": "davit"})
    assert code_of(copied) == "captioner_foreign"


def test_other_models_are_refused(copied: Path):
    describe_config(copied, model_type="llama")
    assert code_of(copied) == "captioner_unknown"


def test_pickled_weights_are_refused(copied: Path):
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    assert code_of(copied) == "captioner_pickle"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model_type": "blip"', '{"vision_config": 1}'])
def test_a_damaged_description_is_named(copied: Path, text: str):
    (copied / "config.json").write_text(text)
    assert code_of(copied) == "captioner_damaged"


def test_damaged_weights_are_named(copied: Path):
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    assert code_of(copied) == "captioner_damaged"


def test_missing_weights_are_never_made_up(copied: Path):
    from safetensors.torch import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    del weights[next(name for name in weights if "text_decoder" in name and "query" in name)]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    assert code_of(copied) == "captioner_damaged"


def test_kinds_are_known_from_the_description(tiny_blip: Path, tiny_florence: Path):
    assert model_kind(tiny_blip) == "blip" and model_kind(tiny_florence) == "florence2"


def test_the_worker_captions_with_blip(tiny_blip: Path, pictures: list[Path]):
    captions, problems, progress, ended = collect(
        pictures, options(tiny_blip, prompt="a photo of", trigger="mika", max_tokens=4, batch=2)
    )
    assert ended.status == "finished" and problems == []
    assert len(captions) == 3
    assert all(text.startswith("mika, ") and "a photo of" in text for text in captions.values())
    assert progress[-1].text == "cpu, float32"
