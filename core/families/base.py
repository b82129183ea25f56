"""What a model family must offer. Torch-free at import, so that `check` and the window may ask.

A family is one file: facts (`FamilyInfo`), a loader, and a `LoadedModel` that encodes, predicts
and decodes. Everything else (loop, sampler, cache, LoRA files) is written against these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

PredictionType = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True)
class FamilyInfo:
    """Facts about a family that need no weights.

    bucket_step: pictures' sides are multiples of this many pixels. architecture: the
    modelspec.architecture of its LoRA files.
    """

    name: str
    title: str
    default_resolution: int
    bucket_step: int
    architecture: str


@dataclass(frozen=True)
class BaseModelFile:
    """A base model found on disk by `core.families.detect`, not loaded yet.

    layout: a diffusers folder or one checkpoint file. default_resolution and bucket_step are
    those of this very model (the demo model is smaller than its family usual).
    """

    path: Path
    family: str
    layout: Literal["diffusers", "single_file"]
    prediction_type: PredictionType
    zero_terminal_snr: bool
    default_resolution: int
    bucket_step: int


@dataclass(frozen=True)
class NoiseSchedule:
    """The discrete noise schedule that the model was trained with.

    alphas_cumprod: (T,) float32 on the CPU.
    """

    alphas_cumprod: torch.Tensor
    prediction_type: PredictionType
    zero_terminal_snr: bool

    @property
    def timesteps(self) -> int:
        """How many timesteps there are, T."""
        return len(self.alphas_cumprod)


class LoadedModel(Protocol):
    """A base model in memory, its weights frozen and in eval mode.

    components: the trainable networks by name, such as `unet` and `text_encoder`; LoRA layers
    are injected into them in place. key_prefixes: component -> prefix of its keys in LoRA files
    (`lora_unet`, `lora_te`). identity: a hash of what latents depend on ("vae") and of what
    text embeddings depend on ("text"), for cache keys. latent_scale: pixels per latent, 8 for
    SD1.5.
    """

    @property
    def info(self) -> FamilyInfo: ...
    @property
    def file(self) -> BaseModelFile: ...
    @property
    def components(self) -> Mapping[str, torch.nn.Module]: ...
    @property
    def key_prefixes(self) -> Mapping[str, str]: ...
    @property
    def schedule(self) -> NoiseSchedule: ...
    @property
    def identity(self) -> Mapping[str, str]: ...
    @property
    def latent_channels(self) -> int: ...
    @property
    def latent_scale(self) -> int: ...

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in -1..1 -> scaled latents (B, C, H/f, W/f) float32, the VAE's mean."""
        ...

    def decode_latents(self, latents: torch.Tensor) -> list[Image]:
        """Scaled latents (B, C, h, w) -> RGB pictures."""
        ...

    def tokenize(self, prompts: Sequence[str]) -> torch.Tensor:
        """Prompts -> token ids (B, n x 77): all of a long prompt, in chunks of 77, padded alike."""
        ...

    def token_count(self, prompt: str) -> int:
        """Tokens of a prompt without start and end marks."""
        ...

    def encode_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token ids (B, n x 77) -> embeddings (B, n x 77, D); differentiable."""
        ...

    def predict(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        embeddings: torch.Tensor,
        conditioning: Mapping[str, Any] | None = None,
    ) -> torch.Tensor:
        """Noisy latents (B, C, h, w), timesteps (B,), embeddings (B, L, D) -> prediction alike."""
        ...

    def lora_targets(self, targets: str, text_encoder: bool) -> dict[str, list[str]]:
        """Component -> full names of the modules that get a LoRA, for `lora.targets`."""
        ...

    def place(self, component: Literal["vae", "text_encoder", "unet"], on: torch.device) -> None:
        """Move one part to a device (to the CPU to free GPU memory)."""
        ...


class Family(Protocol):
    """One model family."""

    @property
    def info(self) -> FamilyInfo: ...

    def load(
        self,
        file: BaseModelFile,
        *,
        vae: Path | None,
        dtype: torch.dtype,
        device: torch.device,
        clip_skip: int,
        prediction_type: PredictionType,
        zero_terminal_snr: bool,
    ) -> LoadedModel:
        """Load fully offline. Raises UserError when the files are damaged or incomplete."""
        ...

    def build_tiny(self, folder: Path, seed: int) -> Path:
        """Write a tiny random model of this family in diffusers format, for tests."""
        ...
