"""What the graphics card and the processor can calculate in, and running out of their memory.

Torch-free at import, so that Check and the window may ask about the processor.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

Precision = Literal["float32", "bfloat16", "float16"]

# AMD architectures without bfloat16 in their matrix units: Vega before MI100, RDNA 1 and 2.
# torch says that all AMD cards have it.
_AMD_WITHOUT = ("gfx8", "gfx900", "gfx902", "gfx906", "gfx90c", "gfx10")
# As /proc/cpuinfo spells them: instructions that multiply in a format, of Intel, AMD and ARM.
_CPU_FLAGS = {
    "bfloat16": {"avx512_bf16", "amx_bf16", "avx10_2", "bf16"},
    "float16": {"avx512_fp16", "amx_fp16", "avx10_2", "asimdhp"},
}
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cublas_status_alloc_failed",
    "cublas_status_not_initialized",
    "cudnn_status_alloc_failed",
    "cudnn_status_internal_error_device_allocation_failed",
    "miopenstatusallocfailed",
    # What cuDNN says where the working space of no algorithm fits.
    "unable to find an engine",
)


def gpu_driver_here() -> bool:
    """Whether this computer has a driver that torch could train on a GPU with.

    Without one there is certainly no such GPU; with one torch may still be a build without it.
    """
    if sys.platform == "win32":
        system = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32"
        return (system / "nvcuda.dll").exists() or (system / "amdhip64.dll").exists()
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))


def gpu_has_bfloat16() -> bool:
    """Whether the current GPU calculates in bfloat16 itself: NVIDIA since Ampere (RTX 30), AMD
    since RDNA 3 and MI100.

    Emulation does not count: it is slow, and cuDNN has no bfloat16 convolutions for such cards.
    """
    import torch

    if torch.version.hip:
        name = torch.cuda.get_device_properties(torch.cuda.current_device()).gcnArchName
        return not str(name).startswith(_AMD_WITHOUT)
    return torch.cuda.is_bf16_supported(including_emulation=False)


def best_precision(device_type: str) -> Precision:
    """What to calculate in on `cuda` (AMD's cards too) or elsewhere: bfloat16 where the GPU has
    it, float16 on older GPUs, float32 on everything else."""
    if device_type != "cuda":
        return "float32"
    return "bfloat16" if gpu_has_bfloat16() else "float16"


def cpu_calculates_in(precision: Precision) -> bool | None:
    """Whether the processor has instructions for a format; None where the system does not tell.

    Without them each product is made by converting there and back, which takes many times as
    long as float32.
    """
    if precision == "float32":
        return True
    flags = _cpu_flags()
    return None if flags is None else bool(flags & _CPU_FLAGS[precision])


def _cpu_flags() -> set[str] | None:
    """Names of the processor's instruction sets; None where they cannot be had."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return _flags_by_torch() if "torch" in sys.modules else None
    for line in text.splitlines():
        name, _, values = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(values.split())
    return None


def _flags_by_torch() -> set[str]:
    import torch

    # Private names of torch, so each may be gone one day: then the set is not known to be there.
    asked = {
        "avx512_bf16": "_is_avx512_bf16_supported",
        "amx_bf16": "_is_amx_tile_supported",
        "amx_fp16": "_is_amx_fp16_supported",
    }
    return {flag for flag, name in asked.items() if getattr(torch.cpu, name, bool)()}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of the GPU or of the computer, in the words of
    torch, cuBLAS, cuDNN or the system."""
    # By name, because asking torch for its class would import it.
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & {"OutOfMemoryError", "MemoryError"}:
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)


def is_of_gpu(error: BaseException) -> bool:
    """Whether an out-of-memory error is about a GPU's memory."""
    text = str(error).lower()
    return any(word in text for word in ("cuda", "cublas", "cudnn", "hip", "miopen", "engine"))


def free_memory() -> None:
    """Give memory that nothing uses back to the GPU, if torch has used one."""
    import torch

    torch.cuda.empty_cache()
