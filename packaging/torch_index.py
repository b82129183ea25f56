"""Which build of torch this computer needs: a pure choice from what the system's tools report.

torch 2.13.0 is published for CUDA 12.6, 13.0 and 13.2, for ROCm 7.2 and for the CPU. The plain
package (no extra index) is the CUDA 13.0 build on Linux, the CPU build on Windows and the Metal
build on macOS. Everything else comes from PyTorch's own wheel index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

TORCH_VERSION = "2.13.0"
WHEELS = "https://download.pytorch.org/whl"
ROCM_BUILD = "rocm7.2"

# The AMD chips that the ROCm build has code for, as the Linux kernel writes them
# (gfx_target_version: major, minor and step as two decimal digits each, so gfx90a is 90010).
ROCM_CHIPS = frozenset(
    {
        *(90000, 90006, 90008, 90010, 90402, 90500, 100300),
        *(110000, 110001, 110002, 110500, 110501, 120000, 120001),
    }
)


@dataclass(frozen=True)
class NvidiaReport:
    """What nvidia-smi tells: the newest CUDA that the driver runs, and each card's capability."""

    cuda: tuple[int, int]
    capabilities: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class TorchChoice:
    """A build of torch: `index` is None for the plain package; `note` is a sentence or ''."""

    requirement: str
    index: str | None
    note: str = ""


PLAIN = TorchChoice(f"torch=={TORCH_VERSION}", None)


def parse_cuda_version(nvidia_smi: str) -> tuple[int, int] | None:
    """The CUDA version in the head of nvidia-smi's table, or None when there is none.

    Drivers have written "CUDA Version: 12.4" and later "CUDA UMD Version: 13.1"; a driver whose
    user part is missing writes "N/A". The toolkit's or kernel's version is not meant.
    """
    found = re.search(r"CUDA(?:\s+UMD)?\s+Version\s*:?\s*(\d+)\.(\d+)", nvidia_smi, re.IGNORECASE)
    return (int(found[1]), int(found[2])) if found else None


def parse_capabilities(compute_cap: str) -> tuple[tuple[int, int], ...]:
    """Each card's compute capability from `nvidia-smi --query-gpu=compute_cap`, one a line.

    Lines that are no number (an old nvidia-smi does not know the field) are left out.
    """
    lines = (line.strip() for line in compute_cap.splitlines())
    found = (re.fullmatch(r"(\d+)\.(\d+)", line) for line in lines)
    return tuple((int(m[1]), int(m[2])) for m in found if m)


def parse_nvidia(nvidia_smi: str, compute_cap: str) -> NvidiaReport | None:
    """The NVIDIA side of this computer, or None where no usable driver answers."""
    cuda = parse_cuda_version(nvidia_smi)
    return NvidiaReport(cuda, parse_capabilities(compute_cap)) if cuda else None


def parse_amd_chips(topologies: Iterable[str]) -> tuple[int, ...]:
    """The AMD chips in the `properties` files below /sys/class/kfd/kfd/topology/nodes.

    A processor's node has version 0 and is left out.
    """
    found = (re.search(r"^gfx_target_version\s+(\d+)\s*$", t, re.MULTILINE) for t in topologies)
    return tuple(int(m[1]) for m in found if m and int(m[1]) > 0)


def _build(name: str, note: str = "") -> TorchChoice:
    """The build `name` ("cu126") from PyTorch's index; the local version forces exactly it."""
    return TorchChoice(f"torch=={TORCH_VERSION}+{name}", f"{WHEELS}/{name}", note)


def _choose_nvidia(platform: str, report: NvidiaReport) -> TorchChoice:
    """The build for an NVIDIA card: CUDA 13.0 needs a new driver and a Turing or newer card,
    CUDA 12.6 runs on drivers since CUDA 12.0 and on cards from Maxwell to Hopper."""
    newest = max(report.capabilities, default=(8, 0))
    cuda13 = _build("cu130") if platform == "win32" else PLAIN
    if report.cuda >= (13, 0) and newest >= (7, 5):
        return cuda13
    version = ".".join(map(str, report.cuda))
    if newest > (9, 0):
        note = (
            f"The NVIDIA driver supports CUDA {version} only; this card needs driver 580 or newer."
        )
        return TorchChoice(cuda13.requirement, cuda13.index, note)
    if report.cuda >= (12, 0) and newest >= (5, 0):
        return _build("cu126")
    if newest < (5, 0):
        note = "This NVIDIA card is older than torch supports; Limner will use the processor."
    else:
        note = f"The NVIDIA driver supports CUDA {version} only; this card needs a newer one."
    return TorchChoice(PLAIN.requirement, PLAIN.index, note)


def choose_torch(
    platform: str,
    machine: str,
    nvidia: NvidiaReport | None,
    amd_chips: Iterable[int] = (),
    wanted_index: str = "",
) -> TorchChoice:
    """The build of torch to install.

    `platform` is `sys.platform`, `machine` is `platform.machine()`, `wanted_index` the value of
    LIMNER_TORCH_INDEX: the user's own choice of a wheel index, which wins ("plain" for none).
    """
    wanted = wanted_index.strip()
    if wanted.lower() == "plain":
        return PLAIN
    if wanted:
        # "https://.../whl/cu126" names its build last; another index may hold plain versions.
        name = wanted.rstrip("/").rsplit("/", 1)[-1]
        exact = re.fullmatch(r"cpu|cu\d+|rocm[\d.]+|xpu", name)
        local = f"+{name}" if exact else ""
        return TorchChoice(f"torch=={TORCH_VERSION}{local}", wanted)
    if nvidia is not None and platform in ("win32", "linux"):
        return _choose_nvidia(platform, nvidia)
    chips = tuple(amd_chips)
    if chips and platform == "linux" and machine == "x86_64":
        if ROCM_CHIPS.intersection(chips):
            return _build(ROCM_BUILD)
        note = "This AMD chip is not among those torch supports; Limner will use the processor."
        return TorchChoice(PLAIN.requirement, PLAIN.index, note)
    return PLAIN
