"""Every optimizer that can be chosen: one record each, from which settings and training follow.

Libraries are imported by `build` alone, so that the window knows the choices without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import fail
from core.words import tr

if TYPE_CHECKING:
    import torch

    from core.config.training import Training

# Parameter groups as torch's optimizers take them: params, lr, and what Limner adds.
Groups = list[dict[str, Any]]
_ADAM = frozenset({"beta1", "beta2", "eps", "weight_decay"})
# A learning rate of its own for each part of the model.
_OWN_RATES = frozenset({"own_rates"})


@dataclass(frozen=True)
class OptimizerKind:
    """One optimizer.

    moments: float32 numbers that it keeps per weight, for estimates of memory and disk.
    finds_rate: it estimates the step size itself, one for all weights, and takes the learning rate
    as a factor on it. usual_rate: what the learning rate is set to where nothing is known.
    uses: names of settings below `training` that it obeys, and `own_rates` where the parts of a
    model may learn at different rates. build: makes it over parameter groups.
    """

    title: str
    help: str
    moments: float
    build: Callable[[Groups, Training], torch.optim.Optimizer]
    uses: frozenset[str] = _ADAM | _OWN_RATES
    finds_rate: bool = False
    usual_rate: float = 1e-4


def _adam_options(settings: Training) -> dict[str, Any]:
    return {
        "lr": settings.learning_rate,
        "betas": (settings.beta1, settings.beta2),
        "eps": settings.eps,
        "weight_decay": settings.weight_decay,
    }


def _adamw(groups: Groups, settings: Training) -> torch.optim.Optimizer:
    """AdamW (arXiv 1711.05101)."""
    import torch

    return torch.optim.AdamW(groups, **_adam_options(settings))


def _adamw_8bit(groups: Groups, settings: Training) -> torch.optim.Optimizer:
    """AdamW with 8-bit state (arXiv 2110.02861)."""
    try:
        from bitsandbytes.optim import AdamW8bit
    except (ImportError, OSError, RuntimeError) as error:
        raise fail(
            "optimizer_unavailable",
            "AdamW 8-bit does not work on this computer; choose AdamW instead.",
            detail=str(error).splitlines()[0],
            setting="training.optimizer",
        ) from error
    return AdamW8bit(groups, **_adam_options(settings))


def _prodigy(groups: Groups, settings: Training) -> torch.optim.Optimizer:
    """Prodigy (arXiv 2306.06101). All groups share one rate: it estimates one step size for all."""
    try:
        from prodigyopt import Prodigy
    except ImportError as error:
        raise fail(
            "optimizer_unavailable",
            "Prodigy is not installed; choose AdamW or install the package prodigyopt.",
            setting="training.optimizer",
        ) from error
    own = settings.prodigy
    return Prodigy(
        groups,
        **_adam_options(settings),
        decouple=True,
        use_bias_correction=own.use_bias_correction,
        safeguard_warmup=own.safeguard_warmup,
        d0=own.d0,
        d_coef=own.d_coef,
    )


OPTIMIZERS: dict[str, OptimizerKind] = {
    "adamw": OptimizerKind(
        title="AdamW",
        help=tr("The dependable one; takes the learning rate as it is given."),
        moments=2.0,
        build=_adamw,
    ),
    "adamw_8bit": OptimizerKind(
        title="AdamW 8-bit",
        help=tr("AdamW whose memory is kept in 8 bits: less GPU memory, the same results."),
        moments=0.5,
        build=_adamw_8bit,
    ),
    "prodigy": OptimizerKind(
        title="Prodigy",
        help=tr("Finds the learning rate by itself; leave the learning rate at 1."),
        moments=4.0,
        build=_prodigy,
        uses=_ADAM | {"prodigy"},
        finds_rate=True,
        usual_rate=1.0,
    ),
}
