"""What a checkpoint predicts, and how that is known. Torch-free.

Files say it in many ways or not at all: by marker tensors (`v_pred`, `ztsnr`, as ComfyUI and the
makers of NoobAI-XL have them), metadata (ModelSpec, kohya's scripts), a .yaml beside the file, or
their name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.families.base import KnownBy, PredictionType
from core.families.kinds import Shapes
from core.reading import Unreadable, read_bytes

_V = ("v", "v_prediction", "v-prediction", "velocity")
_YAML = re.compile(r"""^\s*parameterization:\s*["']?v["']?\s*$""", re.MULTILINE)
_V_NAME = re.compile(r"(?<![a-z])v[-_ ]?pred(iction)?(?![a-z])", re.IGNORECASE)
_ZERO_NAME = re.compile(r"(?<![a-z])(zt?snr)(?![a-z])|noob", re.IGNORECASE)


@dataclass(frozen=True)
class Prediction:
    """What a file predicts. by: how that is known."""

    type: PredictionType
    zero_terminal_snr: bool
    by: KnownBy


def prediction_of(
    path: Path, shapes: Shapes, metadata: Mapping[str, str], usual: PredictionType = "epsilon"
) -> Prediction:
    """What a single file predicts; the first of the ways above that tells counts."""
    if "v_pred" in shapes or "ztsnr" in shapes:
        return Prediction("v_prediction", "ztsnr" in shapes, "marker")
    kohya = metadata.get("ss_v_parameterization", "").lower()
    said = metadata.get("modelspec.prediction_type", "").lower() or ("v" if kohya == "true" else "")
    if said:
        zero = metadata.get("ss_zero_terminal_snr", "").lower() == "true"
        velocity = said in _V
        return Prediction("v_prediction" if velocity else "epsilon", velocity and zero, "metadata")
    try:
        settings = read_bytes(path.with_suffix(".yaml"), 2**20).decode("utf-8", "replace")
    except Unreadable:
        settings = ""
    if _YAML.search(settings):
        return Prediction("v_prediction", False, "yaml")
    if _V_NAME.search(path.stem):
        # NoobAI-XL's v-prediction models, and what is mixed from them, end in pure noise.
        return Prediction("v_prediction", bool(_ZERO_NAME.search(path.stem)), "name")
    return Prediction(usual, False, "family")
