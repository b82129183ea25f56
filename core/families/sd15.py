"""Stable Diffusion 1.x: one CLIP text encoder, a UNet of convolutions and attention, a VAE.

Everything is read from the model's own configs, so smaller models of the same build (the demo
model) load here too. Nothing asks the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.families import kinds, unet_memory
from core.families.base import BaseModelFile, FamilyInfo, Loading
from core.families.folders import read_unet_folder
from core.families.kinds import Shapes
from core.families.unet_parts import UNET, VAE, clip_part
from core.model_families import FAMILIES

if TYPE_CHECKING:
    from core.families.sources import Source
    from core.families.unet_model import UNetModel

_TEXT = clip_part(
    "text_encoder",
    "text encoder",
    "lora_te",
    ("cond_stage_model.transformer.", "cond_stage_model."),
    "tokenizer",
)
INFO = FamilyInfo(
    name="sd15",
    title=FAMILIES["sd15"].title,
    parts=(UNET, _TEXT, VAE),
    pipelines=("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    default_resolution=512,
    bucket_step=8,
    architecture="stable-diffusion-v1/lora",
    base_version="sd_v1",
)


class _SD15:
    """The Stable Diffusion 1.x family."""

    info = INFO
    activations = staticmethod(unet_memory.activations)

    def matches(self, shapes: Shapes) -> bool:
        """Whether a single file with these tensors is a whole model of this family."""
        encoder = any(name.startswith(_TEXT.prefixes) for name in shapes)
        labels = any(name.startswith("model.diffusion_model.label_emb.") for name in shapes)
        return (
            kinds.takes_latents(shapes)
            and not labels
            and encoder
            and kinds.attention_width(shapes) == 768
        )

    def matches_folder(self, index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> bool:
        """Whether a folder holds a plain UNet that reads one text encoder of SD 1.x's width."""
        return (
            denoiser.get("in_channels", 4) == denoiser.get("out_channels", 4)
            and not denoiser.get("addition_embed_type")
            and not denoiser.get("encoder_hid_dim_type")
            and denoiser.get("cross_attention_dim") != 1024
        )

    def read_folder(self, folder: Path) -> BaseModelFile:
        """What a folder holds. Raises UserError as `read_unet_folder` does."""
        return read_unet_folder(folder, INFO)

    def read_file(self, file: BaseModelFile) -> BaseModelFile:
        """The model of a single file, which holds everything."""
        return file

    def load(self, file: BaseModelFile, how: Loading) -> UNetModel:
        """Load fully offline, weights frozen and in eval mode.

        Raises UserError as `load_unet_model` does, and `clip_skip_too_large`.
        """
        from core.families import clip_text
        from core.families.unet_model import load_unet_model

        def make_text(
            sources: Mapping[str, Source], digest: Any
        ) -> tuple[dict[str, Any], clip_text.ClipText]:
            source = sources[_TEXT.name]
            encoder = clip_text.load_clip(source, how.dtype, digest)
            assert source.tokenizer is not None
            tokenizer = clip_text.load_tokenizer(source.tokenizer, digest)
            clip_text.check_skip(encoder, how.clip_skip, _TEXT)
            return {_TEXT.name: encoder}, clip_text.ClipText(tokenizer, encoder, how.clip_skip)

        return load_unet_model(INFO, file, how, make_text)

    def build_tiny(self, folder: Path, seed: int) -> Path:
        """Write a tiny random model of this family in diffusers format, for tests."""
        from core.families.tiny import build_tiny_sd15

        return build_tiny_sd15(folder, seed)


FAMILY = _SD15()
