"""Loading a model in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from core.families.base import Loading
from core.families.detect import detect
from core.families.registry import family


def load(path: Path, **changes: Any) -> Any:
    """Load a model on the CPU in float32, as its file says."""
    file = detect(str(path))
    settings = {
        "vae": None,
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "clip_skip": 0,
        "prediction_type": file.prediction_type,
        "zero_terminal_snr": file.zero_terminal_snr,
    }
    return family(file.family).load(file, Loading(**(settings | changes)))
