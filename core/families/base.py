"""What a model family must offer. Torch-free at import, so that `check` and the window may ask.

A family is one file: facts (`FamilyInfo`), a loader, and a `LoadedModel` that encodes, predicts
and decodes. Everything else (loop, sampler, cache, LoRA files) is written against these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from core.config.training import Loss, Timesteps

PredictionType = Literal["epsilon", "v_prediction", "velocity"]
Size = tuple[int, int]
Point = tuple[int, int]
# Whatever a family's text side makes of captions, by name; every value has a row for each caption.
Conditioning = Mapping[str, "torch.Tensor"]


@dataclass(frozen=True)
class Frame:
    """What the VAE really saw of a picture, as SDXL's micro-conditioning counts it (arXiv
    2307.01952, section 2.2).

    original: width and height of the upright picture as it was found. crop: left and top of the
    part that is shown, in pixels of the picture after it was scaled and mirrored. target: the
    size that is trained.
    """

    original: Size
    crop: Point
    target: Size

    @classmethod
    def whole(cls, size: Size) -> Frame:
        """That of a picture which is sampled: nothing scaled, nothing cut off."""
        return cls(size, (0, 0), size)


class TextSide(Protocol):
    """What reads captions for a model.

    A caption's length is how many rows of numbers it takes at least. Captions of unequal length
    are brought to one by the family, which knows how its network was trained to see the rest.
    """

    def length(self, caption: str) -> int:
        """The length of a caption alone."""
        ...

    def count(self, caption: str) -> int:
        """Tokens of a caption without start and end marks."""
        ...

    def encode(self, captions: Sequence[str], length: int | None = None) -> Conditioning:
        """The captions' conditioning at one length, that of the longest by default.

        Differentiable; in the number format that the encoders calculated in.
        """
        ...


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


class Ancestral(NamedTuple):
    """One ancestral sampling step: go down to the level `down`, multiply by `scale`, add noise
    times `up`."""

    down: float
    scale: float
    up: float


class NoiseProcess(Protocol):
    """How a model turns pictures into noise and back, for training and for sampling.

    t: shares of noise time (B,) float32, 0 the picture, 1 pure noise. size: width and height of
    the picture in pixels. sigma: the noise level in the form of x that the solvers work on.
    """

    @property
    def prediction_type(self) -> PredictionType: ...

    def draw(self, settings: Timesteps, size: Size, *seed: int | str) -> float:
        """One sample's share of noise time; `seed` decides alone."""
        ...

    def spread(self, settings: Timesteps, size: Size, levels: int) -> list[float]:
        """`levels` shares, evenly over the range in `settings`, to measure at."""
        ...

    def time(self, t: torch.Tensor) -> torch.Tensor:
        """What `LoadedModel.predict` is told of shares t (B,)."""
        ...

    def mix(self, clean: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Noisy latents of latents and noise (B, C, h, w)."""
        ...

    def target(self, clean: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """What the model should predict of them."""
        ...

    def weight(self, t: torch.Tensor, loss: Loss) -> torch.Tensor:
        """Weight of each sample's loss, (B,)."""
        ...

    def sigmas(self, name: str, steps: int, size: Size) -> list[float]:
        """The noise levels of `steps` sampling steps by a schedule, falling, the last 0."""
        ...

    def start(self, noise: torch.Tensor, sigma: float) -> torch.Tensor:
        """What sampling begins with at the level sigma, from normal noise."""
        ...

    def to_model(self, x: torch.Tensor, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
        """What `LoadedModel.predict` takes for x (B, C, h, w): its input and times (B,)."""
        ...

    def from_model(self, x: torch.Tensor, out: torch.Tensor, sigma: float) -> torch.Tensor:
        """The guess of the clean latents that the prediction `out` for x means."""
        ...

    def ancestral(self, sigma: float, to: float) -> Ancestral:
        """How to go from the level sigma to a lower one with fresh noise."""
        ...

    def half_log_snr(self, sigma: float) -> float:
        """ln of picture over noise at a level, which multistep solvers count in."""
        ...


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
    def process(self) -> NoiseProcess: ...
    @property
    def text(self) -> TextSide: ...
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

    def predict(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        text: Conditioning,
        frames: Sequence[Frame],
    ) -> torch.Tensor:
        """Noisy latents (B, C, h, w) with B captions and frames -> prediction alike.

        time: (B,), as `process.time` and `process.to_model` give it.
        """
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
