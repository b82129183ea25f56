"""Settings of the Training tab: how long, how fast and in which precision."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.buckets import Buckets
from core.config.fields import OneOf, Settings, Using, setting
from core.config.model import DTYPE_LABELS, Dtype
from core.optimizers import OPTIMIZERS
from core.schedules import SCHEDULES
from core.words import tr

Unit = Literal["step", "epoch", "minute", "never"]
UNIT_LABELS = {
    "step": tr("steps"),
    "epoch": tr("epochs"),
    "minute": tr("minutes"),
    "never": tr("never"),
}

DURATION, OPTIMIZER, MEMORY = tr("Duration"), tr("Optimizer"), tr("Memory and precision")
NOISE, LOSS, EMA = tr("Noise"), tr("Loss"), tr("Averaging (EMA)")
CHECKPOINTS, VALIDATION = tr("Checkpoints"), tr("Validation")
_PRODIGY = {"training.optimizer": Using(OPTIMIZERS, "prodigy")}


class Prodigy(Settings):
    """Prodigy's own dials (arXiv 2306.06101, package prodigyopt)."""

    d0: float = setting(
        1e-6,
        title=tr("First step size estimate (d0)"),
        help=tr("Raise to 1e-5 or 1e-4 if the estimate stays tiny."),
        group=OPTIMIZER,
        gt=0,
        le=1,
        when=_PRODIGY,
    )
    d_coef: float = setting(
        1.0,
        title=tr("Step size factor (d_coef)"),
        help=tr("Multiplies Prodigy's estimate; 0.5 is gentler, 2 is bolder."),
        group=OPTIMIZER,
        gt=0,
        le=100,
        when=_PRODIGY,
    )
    safeguard_warmup: bool = setting(
        True,
        title=tr("Safeguard warm-up"),
        help=tr("Keeps the warm-up from inflating the step size estimate."),
        group=OPTIMIZER,
        when=_PRODIGY,
    )
    use_bias_correction: bool = setting(
        True,
        title=tr("Bias correction"),
        help=tr("Adam's bias correction; its author advises it for diffusion models."),
        group=OPTIMIZER,
        when=_PRODIGY,
    )


class Ema(Settings):
    """Exponential moving average of the LoRA weights."""

    enabled: bool = setting(
        False,
        title=tr("Average the weights"),
        level="basic",
        help=tr(
            "Keep a running average of the LoRA and use it for samples and files. Smoother "
            "results from noisy training."
        ),
        group=EMA,
    )
    decay: float = setting(
        0.99,
        title=tr("Decay"),
        help=tr(
            "How slowly the average moves; 0.99 looks back about 100 steps. It warms up, so short "
            "runs are not held back."
        ),
        group=EMA,
        gt=0,
        lt=1,
        when={"training.ema.enabled": (True,)},
    )


class Loss(Settings):
    """What is minimised."""

    kind: Literal["mse", "huber"] = setting(
        "mse",
        title=tr("Loss"),
        help=tr("Squared error, or Huber, which forgives outliers in mixed data."),
        group=LOSS,
        labels={"mse": tr("Squared error"), "huber": "Huber"},
    )
    huber_delta: float = setting(
        0.1,
        title=tr("Huber delta"),
        help=tr("Errors above this count linearly."),
        group=LOSS,
        gt=0,
        le=10,
        when={"training.loss.kind": ("huber",)},
    )
    weighting: Literal["none", "min_snr", "debiased"] = setting(
        "none",
        title=tr("Timestep weighting"),
        help=tr(
            "Min-SNR (arXiv 2303.09556) and debiased estimation (arXiv 2310.08442) balance easy "
            "and hard timesteps and often converge faster."
        ),
        group=LOSS,
        labels={"none": tr("None"), "min_snr": "Min-SNR", "debiased": tr("Debiased")},
    )
    min_snr_gamma: float = setting(
        5.0,
        title=tr("Min-SNR gamma"),
        help=tr("5 is the paper's value; smaller weighs low-noise steps down more."),
        group=LOSS,
        gt=0,
        le=100,
        when={"training.loss.weighting": ("min_snr",)},
        also="snr gamma",
    )


class Timesteps(Settings):
    """How much noise the pictures get."""

    distribution: Literal["uniform", "logit_normal"] = setting(
        "uniform",
        title=tr("Timestep distribution"),
        help=tr("Uniform, or logit-normal, which prefers the middle noise levels."),
        group=NOISE,
        labels={"uniform": tr("Uniform"), "logit_normal": tr("Logit-normal")},
        also="timestep sampling, sigma sampling",
    )
    logit_mean: float = setting(
        0.0,
        title=tr("Logit-normal mean"),
        help=tr("Above 0 prefers more noise, below 0 less."),
        group=NOISE,
        ge=-5,
        le=5,
        when={"training.timesteps.distribution": ("logit_normal",)},
    )
    logit_std: float = setting(
        1.0,
        title=tr("Logit-normal width"),
        help=tr("Larger spreads wider."),
        group=NOISE,
        gt=0,
        le=5,
        when={"training.timesteps.distribution": ("logit_normal",)},
    )
    min: float = setting(
        0.0,
        title=tr("Least noise"),
        help=tr("Share of the noise schedule where training starts."),
        group=NOISE,
        ge=0,
        lt=1,
    )
    max: float = setting(
        1.0,
        title=tr("Most noise"),
        help=tr("Share of the noise schedule where training ends."),
        group=NOISE,
        gt=0,
        le=1,
    )
    noise_offset: float = setting(
        0.0,
        title=tr("Noise offset"),
        help=tr(
            "Adds a constant per channel to the noise; 0.05 lets very dark pictures be learned."
        ),
        group=NOISE,
        ge=0,
        le=1,
        also="offset noise",
    )
    input_perturbation: float = setting(
        0.0,
        title=tr("Input perturbation"),
        help=tr("Extra noise on the input only (arXiv 2301.11706); 0.1 is the paper's value."),
        group=NOISE,
        ge=0,
        le=1,
        also="ip noise gamma, perturbation noise",
    )


class Validation(Settings):
    """When the loss of the validation concepts is measured."""

    every: int = setting(
        1,
        title=tr("Validate every"),
        help=tr(
            "Measures the loss on the concepts whose purpose is validation, always with the same "
            "noise. Rising while the training loss falls means overfitting."
        ),
        group=VALIDATION,
        ge=1,
        le=1_000_000,
        when={"training.validation.every_unit": ("step", "epoch", "minute")},
    )
    every_unit: Unit = setting(
        "epoch",
        title=tr("Validate in"),
        help=tr("What the number before counts."),
        group=VALIDATION,
        labels=UNIT_LABELS,
    )
    timesteps: int = setting(
        4,
        title=tr("Noise levels per picture"),
        help=tr("Each picture is measured at so many noise levels, spread evenly."),
        group=VALIDATION,
        ge=1,
        le=100,
        when={"training.validation.every_unit": ("step", "epoch", "minute")},
    )


class Training(Settings):
    """The training loop."""

    resolution: int = setting(
        512,
        title=tr("Resolution"),
        help=tr(
            "Pictures are scaled to this area, each in the bucket nearest to its own shape: 512 "
            "for Stable Diffusion 1.5."
        ),
        level="basic",
        unit="px",
        group=DURATION,
        ge=64,
        le=4096,
        multiple_of=8,
    )
    more_resolutions: str = setting(
        "",
        title=tr("Further resolutions"),
        help=tr(
            "Train every picture at these sizes too, such as 384, 640; each epoch shows it once "
            "at each size. Concepts with a resolution of their own keep to that."
        ),
        group=DURATION,
        pattern=r"^\s*(\d{2,4}(\s*[,;\s]\s*\d{2,4})*)?\s*$",
        empty=tr("none"),
        also="multi resolution",
    )
    epochs: int = setting(
        50,
        title=tr("Epochs"),
        help=tr("How often all pictures are gone through."),
        level="basic",
        group=DURATION,
        ge=1,
        le=1_000_000,
        also="max train epochs",
    )
    max_steps: int | None = setting(
        None,
        title=tr("At most"),
        level="basic",
        help=tr("Ends the training earlier, or goes on over the epochs' end, at this many steps."),
        unit=tr("steps"),
        group=DURATION,
        ge=1,
        le=100_000_000,
        empty=tr("as many as the epochs need"),
        also="max train steps",
    )
    batch_size: int = setting(
        2,
        title=tr("Batch size"),
        help=tr("Pictures at once. More is steadier and needs more memory."),
        level="basic",
        group=DURATION,
        ge=1,
        le=1024,
    )
    gradient_accumulation: int = setting(
        1,
        title=tr("Gradient accumulation"),
        help=tr("Batches gathered into one step: a larger batch without its memory."),
        group=DURATION,
        ge=1,
        le=1024,
        also="grad accumulation",
    )
    seed: int = setting(
        0,
        title=tr("Seed"),
        help=tr(
            "Decides all random choices. On the CPU the same seed and settings give the same LoRA "
            "to the last bit; on a GPU nearly the same, because its sums vary a little."
        ),
        group=DURATION,
        ge=0,
        le=2**63 - 1,
    )
    optimizer: Annotated[str, OneOf(OPTIMIZERS)] = setting(
        "adamw",
        title=tr("Optimizer"),
        help=tr("The method that turns what a batch teaches into a change of the LoRA."),
        level="basic",
        group=OPTIMIZER,
        also="optimizer type",
    )
    learning_rate: float = setting(
        1e-4,
        title=tr("Learning rate"),
        help=tr("Step size. 1e-4 suits AdamW; with Prodigy it must be 1."),
        level="basic",
        group=OPTIMIZER,
        gt=0,
        le=10,
        also="lr, unet lr, step size",
    )
    text_encoder_learning_rate: float | None = setting(
        None,
        title=tr("Text encoder learning rate"),
        help=tr("A step size of its own for the text encoder; about half is usual."),
        group=OPTIMIZER,
        gt=0,
        le=10,
        empty=tr("same as above"),
        when={"lora.text_encoder": (True,), "training.optimizer": Using(OPTIMIZERS, "own_rates")},
        also="text encoder lr, te lr",
    )
    scheduler: Annotated[str, OneOf(SCHEDULES)] = setting(
        "cosine",
        title=tr("Learning rate over time"),
        help=tr("How the learning rate changes from the warm-up to the last step."),
        level="basic",
        group=OPTIMIZER,
        also="lr scheduler, decay, annealing",
    )
    warmup_steps: int = setting(
        0,
        title=tr("Warm-up"),
        help=tr("Steps over which the learning rate rises from zero."),
        unit=tr("steps"),
        group=OPTIMIZER,
        ge=0,
        le=1_000_000,
        also="lr warmup",
    )
    beta1: float = setting(
        0.9,
        title="Beta 1",
        help=tr("Momentum of the gradient's average."),
        group=OPTIMIZER,
        ge=0,
        lt=1,
        when={"training.optimizer": Using(OPTIMIZERS, "beta1")},
    )
    beta2: float = setting(
        0.999,
        title="Beta 2",
        help=tr("Momentum of the squared gradient's average."),
        group=OPTIMIZER,
        ge=0,
        lt=1,
        when={"training.optimizer": Using(OPTIMIZERS, "beta2")},
    )
    eps: float = setting(
        1e-8,
        title="Epsilon",
        help=tr("Keeps the division by the squared gradient's average stable."),
        group=OPTIMIZER,
        gt=0,
        le=1,
        when={"training.optimizer": Using(OPTIMIZERS, "eps")},
    )
    weight_decay: float = setting(
        0.01,
        title=tr("Weight decay"),
        help=tr("Pulls the weights towards zero a little at each step."),
        group=OPTIMIZER,
        ge=0,
        le=10,
        when={"training.optimizer": Using(OPTIMIZERS, "weight_decay")},
    )
    prodigy: Prodigy = Field(default_factory=Prodigy)
    max_grad_norm: float | None = setting(
        1.0,
        title=tr("Clip gradients at"),
        help=tr("Longest allowed gradient; tames single bad batches."),
        group=OPTIMIZER,
        gt=0,
        le=1000,
        empty=tr("no limit"),
    )
    precision: Dtype = setting(
        "auto",
        title=tr("Precision"),
        help=tr(
            "Number format of the calculation. Automatic takes bfloat16 where the GPU has it, "
            "float16 on older GPUs and float32 on the CPU, where the others are rarely faster."
        ),
        group=MEMORY,
        labels=DTYPE_LABELS,
        also="mixed precision, train dtype",
    )
    gradient_checkpointing: bool = setting(
        True,
        title=tr("Gradient checkpointing"),
        help=tr("Needs much less memory and about a quarter more time."),
        group=MEMORY,
        level="basic",
    )
    ema: Ema = Field(default_factory=Ema)
    loss: Loss = Field(default_factory=Loss)
    buckets: Buckets = Field(default_factory=Buckets)
    cache_limit: float = setting(
        20.0,
        title=tr("Size of the cache"),
        help=tr(
            "Prepared pictures and captions of earlier runs are removed beyond this, the longest "
            "unused first; what a running training needs always stays."
        ),
        group=MEMORY,
        unit="GB",
        gt=0,
        le=100_000,
    )
    timesteps: Timesteps = Field(default_factory=Timesteps)
    validation: Validation = Field(default_factory=Validation)


class Checkpoints(Settings):
    """When and how the LoRA is kept."""

    every: int = setting(
        10,
        title=tr("Save every"),
        help=tr("A LoRA to use and a state to resume from. The last step is always saved."),
        level="basic",
        group=CHECKPOINTS,
        ge=1,
        le=1_000_000,
        when={"checkpoints.every_unit": ("step", "epoch", "minute")},
        also="save every n epochs, save every n steps, backup",
    )
    every_unit: Unit = setting(
        "epoch",
        title=tr("Save in"),
        help=tr("What the number before counts."),
        level="basic",
        group=CHECKPOINTS,
        labels=UNIT_LABELS,
    )
    keep_states: int = setting(
        2,
        title=tr("States to keep"),
        help=tr("How many of the newest checkpoints can be resumed from; LoRA files all stay."),
        group=CHECKPOINTS,
        ge=1,
        le=1000,
        also="save state, backup, resume",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = setting(
        "float16",
        title=tr("Numbers in the file"),
        help=tr("float16 halves the file and looks the same; float32 for merging and research."),
        group=CHECKPOINTS,
        labels={k: v for k, v in DTYPE_LABELS.items() if k != "auto"},
        also="save precision, output dtype",
    )
    tell_captions: bool = setting(
        True,
        title=tr("Tags and folder names in the file"),
        help=tr(
            "Forge and model managers show which tags a LoRA was trained on. Switch off to keep "
            "captions and the names of your folders to yourself."
        ),
        group=CHECKPOINTS,
    )
    format: Literal["kohya"] = setting(
        "kohya",
        title=tr("File format"),
        help=tr("The key names that every program reads."),
        group=CHECKPOINTS,
        labels={"kohya": "kohya"},
        ready=False,
    )
