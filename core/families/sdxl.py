"""Stable Diffusion XL 1.0 and what is made of it: Pony, Illustrious, NoobAI and their kin.

Two CLIP text encoders read each caption; the UNet also gets a vector of the whole caption, and
the size and crop of the picture (arXiv 2307.01952).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.families import kinds, unet_memory
from core.families.base import BaseModelFile, Conditioning, FamilyInfo, Frame, Loading
from core.families.folders import read_unet_folder
from core.families.kinds import Shapes
from core.families.unet_parts import UNET, VAE, clip_part
from core.model_families import FAMILIES

if TYPE_CHECKING:
    import torch

    from core.families.sources import Source
    from core.families.unet_model import UNetModel

_SMALL = clip_part(
    "text_encoder",
    "first text encoder",
    "lora_te1",
    ("conditioner.embedders.0.transformer.",),
    "tokenizer",
    layers_left=2,
)
_LARGE = clip_part(
    "text_encoder_2",
    "second text encoder",
    "lora_te2",
    ("conditioner.embedders.1.model.",),
    "tokenizer_2",
    "open_clip",
    layers_left=2,
)
INFO = FamilyInfo(
    name="sdxl",
    title=FAMILIES["sdxl"].title,
    parts=(UNET, _SMALL, _LARGE, VAE),
    pipelines=("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    default_resolution=1024,
    bucket_step=8,
    architecture="stable-diffusion-xl-v1-base/lora",
    base_version="sdxl_base_v1-0",
)
# Models that were cut down (SSD-1B, Segmind Vega) lack some of these ten.
_DEEPEST = "model.diffusion_model.middle_block.1.transformer_blocks.9."


class SDXLText:
    """Both encoders' last layer but one side by side, and the second's vector of the whole.

    skip: how many more layers to leave out. Long captions are read in chunks of 75 tokens; the
    vector of the whole is that of the first, as in other programs.
    """

    def __init__(self, tokenizers: Sequence[Any], encoders: Sequence[Any], skip: int) -> None:
        self.tokenizers, self.encoders, self.skip = tokenizers, encoders, skip
        self.width = sum(int(encoder.config.hidden_size) for encoder in encoders)
        self._chunk = int(tokenizers[0].model_max_length)

    def length(self, caption: str) -> int:
        """The length of a caption alone: whole chunks of 77."""
        from core.families.clip_text import chunks_of

        return chunks_of(self.tokenizers[0], caption) * self._chunk

    def count(self, caption: str) -> int:
        """Tokens of a caption without start and end marks."""
        from core.families.clip_text import prompt_ids

        return len(prompt_ids(self.tokenizers[0], caption))

    def encode(self, captions: Sequence[str], length: int | None = None) -> Conditioning:
        """`embeddings` (B, n x 77, D) and `pooled` (B, P)."""
        import torch

        from core.families.clip_text import chunked_ids

        length = length or max(self.length(caption) for caption in captions)
        found = []
        for tokenizer, encoder in zip(self.tokenizers, self.encoders, strict=True):
            ids = chunked_ids(tokenizer, captions, length // self._chunk)
            device = next(encoder.parameters()).device
            out = encoder(
                input_ids=ids.to(device).reshape(-1, self._chunk), output_hidden_states=True
            )
            states = out.hidden_states[-(self.skip + 2)]
            found.append(states.reshape(len(captions), length, -1))
        pooled = out.text_embeds.reshape(len(captions), length // self._chunk, -1)[:, 0]
        return {"embeddings": torch.cat(found, dim=-1), "pooled": pooled}


def told_of_pictures(text: Conditioning, frames: Sequence[Frame]) -> dict[str, torch.Tensor]:
    """What the UNet takes beside embeddings: `text_embeds` (B, P), and `time_ids` (B, 6) float32,
    heights before widths: original size, crop's top and left, target size."""
    import torch

    rows = [(*f.original[::-1], *f.crop[::-1], *f.target[::-1]) for f in frames]
    return {
        "text_embeds": text["pooled"],
        "time_ids": torch.tensor(rows, dtype=torch.float32),
    }


class _SDXL:
    """The Stable Diffusion XL family."""

    info = INFO
    activations = staticmethod(unet_memory.activations)

    def matches(self, shapes: Shapes) -> bool:
        """Whether a single file with these tensors is a whole model of this family."""
        whole = all(
            any(name.startswith(start) for name in shapes)
            for start in (*_SMALL.prefixes, *_LARGE.prefixes, _DEEPEST)
        )
        return whole and kinds.takes_latents(shapes) and kinds.attention_width(shapes) == 2048

    def matches_folder(self, index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> bool:
        """Whether a folder holds a UNet that is told sizes, and is neither the refiner, which has
        one encoder only, nor Kolors."""
        refiner = index.get("requires_aesthetics_score") or _is_absent(index.get(_SMALL.name))
        return (
            denoiser.get("addition_embed_type") == "text_time"
            and denoiser.get("in_channels", 4) == denoiser.get("out_channels", 4)
            and not denoiser.get("encoder_hid_dim_type")
            and not refiner
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
        from core.families.unet_model import load_unet_model

        def make_text(
            sources: Mapping[str, Source], digest: Any
        ) -> tuple[dict[str, Any], SDXLText]:
            from core.families.clip_text import check_skip, load_clip, load_tokenizer

            encoders, tokenizers = {}, []
            for part in (_SMALL, _LARGE):
                source, second = sources[part.name], part is _LARGE
                encoder = load_clip(source, how.dtype, digest, projection=second)
                check_skip(encoder, how.clip_skip, part)
                encoders[part.name] = encoder
                assert source.tokenizer is not None
                # The second encoder was trained with captions filled up with exclamation marks.
                changes = {"pad_token": "!"} if second else {}
                tokenizers.append(load_tokenizer(source.tokenizer, digest, **changes))
            return encoders, SDXLText(tokenizers, list(encoders.values()), how.clip_skip)

        return load_unet_model(INFO, file, how, make_text, told_of_pictures)

    def build_tiny(self, folder: Path, seed: int) -> Path:
        """Write a tiny random model of this family in diffusers format, for tests."""
        from core.families.tiny import build_tiny_sdxl

        return build_tiny_sdxl(folder, seed)


def _is_absent(entry: Any) -> bool:
    """Whether a part's entry in model_index.json says that there is none."""
    return not entry or entry == [None, None]


FAMILY = _SDXL()
