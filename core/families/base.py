"""What a model family must offer. Torch-free at import, so that `check` and the window may ask.

A family is one file: facts (`FamilyInfo`), a loader, and a `LoadedModel` that encodes, predicts
and decodes. Everything else (loop, sampler, cache, LoRA files) is written against these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from core.config.lora import Lora
    from core.config.training import Loss, Timesteps
    from core.families.kinds import Shapes
    from core.families.layers import Layer

PredictionType = Literal["epsilon", "v_prediction", "velocity"]
Size = tuple[int, int]
Point = tuple[int, int]
Role = Literal["denoiser", "text", "vae"]
# How it is known what a model predicts, from certain to guessed; `family`: that is usual.
KnownBy = Literal["config", "marker", "metadata", "yaml", "name", "family"]
ROLES: tuple[Role, ...] = ("denoiser", "text", "vae")
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
    width: numbers per row.
    """

    @property
    def width(self) -> int: ...

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
class Part:
    """A network of a model, as facts.

    folder, stem: where its weights lie in a diffusers folder, and their file's name without
    ending. prefixes: what its tensors' names may begin with in one file; spelling: whose names
    follow. tokenizer: the folder of a text part's tokenizer; vocabulary: which of the bundled ones
    single files go with; layers_left: how many of its layers must be left where some are skipped.
    lora_prefix: what its keys in LoRA files begin with; empty where it is
    never trained. targets: `lora.targets` -> how names of modules that learn end. blocks, outside:
    how names of modules that may learn begin, and which of those may not all the same; by
    diffusers' names and by those of single files. title: what people call it. passing: too large to
    be held while others work, so it is loaded, used and given up. skips: whether
    `model.clip_skip` may leave out layers of a text part.
    """

    name: str
    role: Role
    title: str
    folder: str
    stem: str
    prefixes: tuple[str, ...] = ()
    spelling: Literal["own", "open_clip"] = "own"
    tokenizer: str = ""
    vocabulary: str = ""
    layers_left: int = 1
    lora_prefix: str = ""
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    blocks: tuple[str, ...] = ("",)
    outside: tuple[str, ...] = ()
    passing: bool = False
    skips: bool = True

    def adapts(self, module: str, targets: str) -> bool:
        """Whether a linear layer or convolution of this name gets a LoRA under `lora.targets`."""
        inside = module.startswith(self.blocks) and not module.startswith(self.outside or ("\0",))
        return inside and module.endswith(self.targets.get(targets, ()))


@dataclass(frozen=True)
class TokenRule:
    """How much of a caption a family reads, in tokens without start and end marks.

    room: tokens of one pass; rows: how many rows of numbers such a pass gives. whole: longer
    captions are read in several passes; otherwise what is beyond the first is cut off.
    """

    room: int = 75
    rows: int = 77
    whole: bool = True

    def rows_of(self, tokens: int) -> int:
        """How many rows a caption of so many tokens becomes."""
        return self.rows * (max(1, -(-tokens // self.room)) if self.whole else 1)


# As every family with CLIP encoders reads captions.
CLIP_TOKENS = TokenRule()


@dataclass(frozen=True)
class FamilyInfo:
    """Facts about a family that need no weights.

    parts: its networks, those that a LoRA changes in the order of LoRA files. pipelines: names of
    diffusers pipelines whose folders hold such a model. bucket_step: pictures' sides are multiples
    of this many pixels. architecture: the modelspec.architecture of its LoRA files; base_version:
    what kohya's programs call it. tokens: how much of a caption is read.
    """

    name: str
    title: str
    parts: tuple[Part, ...]
    pipelines: tuple[str, ...]
    default_resolution: int
    bucket_step: int
    architecture: str
    base_version: str
    tokens: TokenRule = CLIP_TOKENS

    def part(self, name: str) -> Part:
        """The part called `name`. Raises KeyError."""
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(name)

    def of(self, *roles: Role) -> tuple[Part, ...]:
        """The parts with one of these roles."""
        return tuple(part for part in self.parts if part.role in roles)

    @property
    def staying(self) -> tuple[Role, ...]:
        """The roles whose parts may be held together while pictures are sampled."""
        return tuple(role for role in ROLES if not any(part.passing for part in self.of(role)))


@dataclass(frozen=True)
class PartFiles:
    """Where a part of a base model lies: its weight files, its config.json, and the folder of a
    text part's tokenizer."""

    weights: tuple[Path, ...]
    config: Path
    tokenizer: Path | None = None


@dataclass(frozen=True)
class BaseModelFile:
    """A base model found on disk by `core.families.detect`, not loaded yet.

    layout: a diffusers folder or one checkpoint file. default_resolution and bucket_step are
    those of this very model (the demo model is smaller than its family usual). known_by: how it
    is known what the model predicts. elsewhere: parts that do not lie where the layout has them.
    """

    path: Path
    family: str
    layout: Literal["diffusers", "single_file"]
    prediction_type: PredictionType
    zero_terminal_snr: bool
    default_resolution: int
    bucket_step: int
    known_by: KnownBy = "config"
    elsewhere: Mapping[str, PartFiles] = field(default_factory=dict, hash=False)


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

    parts: its networks by name; LoRA layers are injected into them in place. identity: a hash of
    what latents depend on ("vae") and of what conditioning depends on ("text"), for cache keys.
    latent_scale: pixels per latent, 8 for SD1.5.
    """

    @property
    def info(self) -> FamilyInfo: ...
    @property
    def file(self) -> BaseModelFile: ...
    @property
    def parts(self) -> Mapping[str, torch.nn.Module]: ...
    @property
    def process(self) -> NoiseProcess: ...
    @property
    def text(self) -> TextSide: ...
    @property
    def identity(self) -> Mapping[Role, str]: ...
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

    def place(self, *roles: Role) -> None:
        """Have the parts with these roles on the device, and no others, from now on."""
        ...

    def resident(self, *roles: Role) -> AbstractContextManager[None]:
        """The same for the time of a block; what was there before comes back at its end.

        An exception ends what the model was loaded for, so after one nothing comes back.
        """
        ...


def trained_parts(model: LoadedModel) -> dict[str, torch.nn.Module]:
    """The networks of a model that a LoRA can change, by name."""
    return {p.name: model.parts[p.name] for p in model.info.parts if p.lora_prefix}


@dataclass(frozen=True)
class Loading:
    """How a base model is to be loaded.

    vae: another VAE, a file or a diffusers folder. dtype: of everything but the VAE, which takes
    what it is safe in. device: where it will calculate; it is loaded into main memory.
    """

    vae: Path | None
    dtype: torch.dtype
    device: torch.device
    clip_skip: int
    prediction_type: PredictionType
    zero_terminal_snr: bool


class Family(Protocol):
    """One model family. Its module is torch-free at import."""

    @property
    def info(self) -> FamilyInfo: ...

    def matches(self, shapes: Shapes) -> bool:
        """Whether a single file with these tensors is a whole model of this family."""
        ...

    def matches_folder(self, index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> bool:
        """Whether a diffusers folder with this model_index.json and this config.json of the
        denoiser is a model of this family."""
        ...

    def read_folder(self, folder: Path) -> BaseModelFile:
        """What such a folder holds. Raises UserError for what is missing or makes no sense."""
        ...

    def read_file(self, file: BaseModelFile) -> BaseModelFile:
        """The model of a single file with what lies beside it, where that belongs to it.

        Raises UserError `base_incomplete` where it is not found.
        """
        ...

    def load(self, file: BaseModelFile, how: Loading) -> LoadedModel:
        """Load fully offline. Raises UserError when the files are damaged or incomplete."""
        ...

    def activations(
        self,
        layers: Sequence[Layer],
        lora: Lora,
        positions: float,
        size: int,
        checkpointing: bool,
    ) -> float:
        """Bytes that one sample keeps for the backward pass, with `size` bytes a number.

        positions: latents of a picture, width times height. checkpointing: whether blocks keep
        their input alone.
        """
        ...

    def build_tiny(self, folder: Path, seed: int) -> Path:
        """Write a tiny random model of this family in diffusers format, for tests."""
        ...
