"""A family that no program has, in one file: a rectified flow over the networks of SD 1.x.

Its text side also gives a mask with each caption, and its pictures' sizes steer the prediction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from core.families import sd15, unet_memory
from core.families.base import BaseModelFile, Conditioning, Frame, Loading
from core.families.flow import Flow
from core.families.folders import read_unet_folder
from core.families.unet_model import UNetModel

INFO = replace(sd15.INFO, name="made_up", title="Made up", pipelines=("MadeUpPipeline",))
SHIFT = 2.0


class MaskedText:
    """Another text side, with a mask beside its embeddings: 1 where a caption has words."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain
        self.width, self.length, self.count = plain.width, plain.length, plain.count

    def encode(self, captions: Sequence[str], length: int | None = None) -> Conditioning:
        """`embeddings` (B, L, D) and `mask` (B, L)."""
        found = self._plain.encode(captions, length)
        rows = found["embeddings"].shape[1]
        ends = torch.tensor([[self.count(caption)] for caption in captions])
        return {**found, "mask": torch.arange(rows)[None] <= ends}


class MadeUpModel(UNetModel):
    """Predicts a velocity from masked captions, at times from 0 to 1000."""

    def predict(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        text: Conditioning,
        frames: Sequence[Frame],
    ) -> torch.Tensor:
        """Noisy latents (B, C, h, w) with B captions and frames -> velocities."""
        masked = text["embeddings"] * text["mask"][..., None]
        wide = torch.tensor([[[f.original[0] / 1000]] for f in frames]).to(masked)
        return super().predict(noisy, 1000 * time, {"embeddings": masked + wide}, frames)


class _MadeUp:
    info = INFO
    activations = staticmethod(unet_memory.activations)

    def matches(self, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        return "made_up.weight" in shapes

    def matches_folder(self, index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> bool:
        return True

    def read_folder(self, folder: Path) -> BaseModelFile:
        return read_unet_folder(folder, INFO)

    def read_file(self, file: BaseModelFile) -> BaseModelFile:
        return file

    def load(self, file: BaseModelFile, how: Loading) -> MadeUpModel:
        plain = sd15.FAMILY.load(file, how)
        values = {one.name: getattr(plain, one.name) for one in fields(plain)}
        changes = {"info": INFO, "process": Flow(shift=SHIFT), "text": MaskedText(plain.text)}
        return MadeUpModel(**(values | changes))

    def build_tiny(self, folder: Path, seed: int) -> Path:
        sd15.FAMILY.build_tiny(folder, seed)
        index = json.loads((folder / "model_index.json").read_text())
        index["_class_name"] = "MadeUpPipeline"
        (folder / "model_index.json").write_text(json.dumps(index))
        return folder


FAMILY = _MadeUp()
