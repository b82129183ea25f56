"""Where and in which number format a run calculates, through accelerate."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch

from core.config.job import Job
from core.errors import fail
from core.families.base import LoadedModel
from core.hardware import Precision, best_precision, gpu_has_bfloat16

if TYPE_CHECKING:
    from accelerate import Accelerator

# Parameters of a denoiser. SD 1.5's has 860 million; the demo model's, with 5, is as fast with one
# thread.
_SMALL = 30_000_000
_PATIENCE = timedelta(days=30)
_MIXED: dict[Precision, str] = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class Compute:
    """The device and the number formats of a run.

    precision: of the calculation (autocast); weights: of the frozen base model in memory.
    """

    accelerator: Accelerator
    precision: Precision
    weights: torch.dtype

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.accelerator.device


def choose_compute(job: Job) -> Compute:
    """The accelerator for a job. Raises UserError when the asked format cannot work here."""
    from accelerate import Accelerator, InitProcessGroupKwargs

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    wanted = job.training.precision
    precision: Precision = best_precision(kind) if wanted == "auto" else wanted
    weights: Precision = precision if job.model.dtype == "auto" else job.model.dtype
    if precision == "float16" and kind == "cpu":
        raise fail(
            "precision_unavailable",
            "float16 training needs a GPU, and none was found; choose float32.",
            setting="training.precision",
        )
    if kind == "cuda" and "bfloat16" in (precision, weights) and not gpu_has_bfloat16():
        raise fail(
            "precision_unavailable",
            "This GPU cannot calculate in bfloat16; choose float16.",
            setting="training.precision" if precision == "bfloat16" else "model.dtype",
        )
    # While the first process draws samples or rests, the others wait for it in a sum; by default
    # that ends the run after ten minutes.
    patience = InitProcessGroupKwargs(timeout=_PATIENCE)
    accelerator = Accelerator(mixed_precision=_MIXED[precision], kwargs_handlers=[patience])
    if accelerator.device.type == "cuda":
        keep_to_gpu_memory()
    return Compute(accelerator, precision, getattr(torch, weights))


def keep_to_gpu_memory() -> None:
    """Let the GPU's memory run out with an error, which training answers with smaller batches.

    NVIDIA's driver for Windows goes on in the computer's memory instead, at a tenth of the speed
    or less ("CUDA sysmem fallback", since version 536).
    """
    if sys.platform == "win32":
        torch.cuda.set_per_process_memory_fraction(1.0)


def limit_threads(model: LoadedModel, device: torch.device) -> None:
    """Calculate a small model on the processor in one thread.

    Its operations are so short that threads gain nothing by sharing them, and where another
    program has a core, they wait for one another and take several times as long.
    """
    networks = [model.parts[part.name] for part in model.info.of("denoiser")]
    weights = sum(p.numel() for network in networks for p in network.parameters())
    if device.type == "cpu" and weights < _SMALL:
        torch.set_num_threads(1)


def memory_in_use(device: torch.device) -> int:
    """Bytes that this process holds: of GPU memory on a GPU, of main memory otherwise."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    import psutil

    return int(psutil.Process().memory_info().rss)
