"""Pictures that carry their recipe, in a form that other programs read and in our own.

`parameters` is the text that A1111 and its relatives write (prompt, negative prompt, one line of
`Key: value`); `limner` is JSON with the whole `GenSpec` and what is known of model and LoRA.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from core import files
from core.reading import parse_json
from core.sampling.genspec import SAMPLER_LABELS, GenSpec

_KEY = "limner"
_VERSION = 1
# A1111's own words, which are not translated.
_SCHEDULES = {
    "normal": "Normal",
    "karras": "Karras",
    "simple": "Simple",
    "sgm_uniform": "SGM Uniform",
    "exponential": "Exponential",
}


def save_png(
    image: Image.Image, path: Path, spec: GenSpec, extra: Mapping[str, Any] | None = None
) -> None:
    """Write a picture and its recipe to `path` in one step.

    extra: JSON-ready facts beside the recipe. `model`, `model_hash`, `vae`, `clip_skip` (layers
    left out), `lora` and `lora_step` (or `step`) also go into the text for other programs.
    """
    facts = dict(extra or {})
    info = PngImagePlugin.PngInfo()
    text = parameters_text(spec, image.size, facts)
    # Pillow stores what latin-1 can hold as latin-1, which most readers take for UTF-8.
    if text.isascii():
        info.add_text("parameters", text)
    else:
        info.add_itxt("parameters", text)
    recipe = {
        "version": _VERSION,
        "spec": spec.model_dump(mode="json"),
        "width": image.width,
        "height": image.height,
        **facts,
    }
    info.add_itxt(_KEY, json.dumps(recipe))
    files.write_with(path, lambda temporary: image.save(temporary, format="PNG", pnginfo=info))


def read_recipe(path: Path) -> dict[str, Any] | None:
    """The recipe that `save_png` wrote (`spec`, `width`, `height`, extras), or None.

    None also for pictures of other programs and for unreadable files.
    """
    try:
        with Image.open(path) as image:
            if not isinstance(image, PngImagePlugin.PngImageFile):
                return None
            text = image.text.get(_KEY)
        recipe = parse_json(text) if text else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return recipe if isinstance(recipe, dict) and isinstance(recipe.get("spec"), dict) else None


def parameters_text(spec: GenSpec, size: tuple[int, int], facts: Mapping[str, Any]) -> str:
    """The recipe as A1111 writes it: prompt, `Negative prompt:`, then one line of settings."""
    settings: dict[str, Any] = {
        "Steps": spec.steps,
        "Sampler": SAMPLER_LABELS[spec.sampler],
        "Schedule type": _SCHEDULES[spec.schedule],
        "CFG scale": f"{spec.cfg:g}",
        "Seed": spec.seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model hash": facts.get("model_hash"),
        "Model": facts.get("model"),
        "VAE": facts.get("vae"),
        # A1111 counts from 1: "clip skip 2" leaves one layer out.
        "Clip skip": facts["clip_skip"] + 1 if facts.get("clip_skip") else None,
        "RNG": "CPU",
        "LoRA": facts.get("lora"),
        "LoRA step": facts.get("lora_step", facts.get("step")),
        "Version": "Limner",
    }
    lines = [_plain(spec.prompt)]
    if spec.negative.strip():
        lines.append(f"Negative prompt: {' '.join(_plain(spec.negative).split())}")
    lines.append(", ".join(f"{k}: {_quoted(v)}" for k, v in settings.items() if v is not None))
    return "\n".join(lines)


def _plain(text: str) -> str:
    """The text without what a PNG cannot hold: NUL and broken surrogates."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def _quoted(value: Any) -> str:
    text = _plain(str(value))
    if any(mark in text for mark in ',:\n"'):
        return json.dumps(text, ensure_ascii=False)
    return text
