"""What a GPU and a processor can calculate in, on faked ones; and the words for full memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from core import hardware
from core.config.job import Job
from core.errors import UserError
from core.families.autoencoder import vae_dtype
from core.hardware import best_precision, cpu_calculates_in, gpu_has_bfloat16, is_out_of_memory
from core.runs import findings
from core.training.device import choose_compute


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch):
    """Put a card into this computer: NVIDIA's by its major capability, AMD's by its name."""

    def put(major: int = 0, amd: str = "") -> None:
        facts = SimpleNamespace(major=major, minor=5, gcnArchName=amd, name="card")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda *_: facts)
        monkeypatch.setattr(torch.version, "cuda", None if amd else "12.8")
        monkeypatch.setattr(torch.version, "hip", "7.0" if amd else None)

    return put


@pytest.mark.parametrize(
    ("major", "amd", "has"),
    [
        (6, "", False),  # GTX 10
        (7, "", False),  # RTX 20, where torch says yes because it can imitate it
        (8, "", True),
        (12, "", True),
        (0, "gfx1030", False),
        (0, "gfx1010:xnack-", False),
        (0, "gfx906", False),
        (0, "gfx90a", True),
        (0, "gfx1100", True),
        (0, "gfx1201", True),
    ],
)
def test_bfloat16_is_chosen_only_where_the_card_has_it(card, major, amd, has) -> None:
    card(major, amd)
    assert gpu_has_bfloat16() == has
    assert best_precision("cuda") == ("bfloat16" if has else "float16")
    vae = vae_dtype(torch.device("cuda"))
    assert vae == (torch.bfloat16 if has else torch.float32)
    assert best_precision("cpu") == "float32"


@pytest.mark.parametrize("setting", ["training.precision", "model.dtype"])
def test_bfloat16_asked_of_an_older_card_is_refused_with_what_to_choose(card, setting) -> None:
    card(7)
    group, name = setting.split(".")
    job = Job.model_validate({group: {name: "bfloat16"}})
    with pytest.raises(UserError) as caught:
        choose_compute(job)
    assert caught.value.problem.setting == setting
    assert "choose float16" in caught.value.problem.title


@pytest.mark.parametrize(
    ("text", "bfloat16", "float16"),
    [
        ("flags\t\t: fpu avx avx2 fma f16c\n", False, False),
        ("flags\t\t: avx2 avx512f avx512vl avx512_bf16\n", True, False),
        ("flags\t\t: avx2 amx_bf16 amx_tile avx512_fp16\n", True, True),
        ("Features\t: fp asimd bf16 i8mm asimdhp\n", True, True),
    ],
)
def test_a_processor_is_asked_for_its_instructions(
    monkeypatch, text: str, bfloat16: bool, float16: bool
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_args, **_named: f"processor\t: 0\n{text}")
    assert cpu_calculates_in("bfloat16") is bfloat16
    assert cpu_calculates_in("float16") is float16
    assert cpu_calculates_in("float32") is True


@pytest.mark.parametrize("setting", ["training.precision", "model.dtype"])
def test_a_slow_number_format_is_never_chosen_without_a_word(monkeypatch, setting: str) -> None:
    group, name = setting.split(".")
    job = Job.model_validate({group: {name: "bfloat16"}})
    monkeypatch.setattr(findings, "gpu_driver_here", lambda: False)
    for flags, words in (
        ({"avx2"}, "has no instructions for bfloat16"),
        (None, "may have no instructions"),
    ):
        monkeypatch.setattr(hardware, "_cpu_flags", lambda flags=flags: flags)
        (problem,) = findings.fitting_problems(job, None, None)
        assert (problem.code, problem.setting) == ("precision_slow", setting)
        assert words in problem.title
    monkeypatch.setattr(hardware, "_cpu_flags", lambda: {"avx512_bf16"})
    assert findings.fitting_problems(job, None, None) == []
    assert findings.fitting_problems(Job(), None, None) == []


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("HIP out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_full_memory_is_known_by_whoever_says_it(error: BaseException, full: bool) -> None:
    assert is_out_of_memory(error) == full
