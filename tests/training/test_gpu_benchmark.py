"""The benchmark of the GPU runs to its end on the processor, and tells what it found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.families.detect import detect
from core.families.layers import layers_of
from core.families.registry import families, family
from tests.benchmarks import gpu, gpu_measures
from tests.benchmarks.gpu_measures import Row, covered, open_bench, overflow
from tests.benchmarks.random_models import random_weights, write_full_size
from tests.families.loading import load

EFFORT = gpu_measures.Effort(warm_up=1, steps=1, profiled=1, sampling_steps=1)


@pytest.mark.slow
def test_every_family_and_way_stands_in_the_table_of_tiny_models(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gpu.main(["--tiny"])
    out = capsys.readouterr().out
    rows = [line[2:-2].split(" | ") for line in out.splitlines() if line.startswith("| ")]
    assert rows[0] == list(gpu._COLUMNS) and len({len(row) for row in rows}) == 1
    for one in families():
        mine = [row for row in rows if row[0].strip() == one.info.title]
        cases = [row for row in mine if row[1] == "bf16" and row[2].strip()]
        assert [(int(row[2]), int(row[3])) for row in cases] == [
            (64, 1),
            (64, 4),
            (128, 1),
            (128, 4),
        ]
        for row in cases:
            assert float(row[4]) > 0 and 0 < int(row[5].rstrip("%")) <= 100
            assert row[6].endswith(" GB") and row[7].endswith(" GB")
        said = " ".join(row[-1] for row in mine)
        assert "training goes on" in said and "sample 64 px, 2 steps" in said
        assert "within 0.01" in said and "MORE THAN" not in said and "failed" not in said
        # float16 has no place on a processor; the reason is told instead.
        assert any(row[1] == "fp16" and "float16 training needs a GPU" in row[-1] for row in mine)


def test_after_an_overflow_the_scaler_finds_a_scale_and_one_step_is_learned(
    tiny_model: Path, tmp_path: Path
) -> None:
    # float32 takes scales up to 2^127; only a loss above 1 overflows there.
    settings = {"training.precision": "float32", "concepts.0.loss_weight": 100.0}
    bench = open_bench(tiny_model, tmp_path, (64,), settings, EFFORT)
    session = bench.session
    try:
        assert overflow(bench) == "no loss scaler"
        # The processor's own scaler.
        scaler = torch.amp.GradScaler("cpu")
        accelerator = session.compute.accelerator
        accelerator.scaler = scaler
        session.optimizer = accelerator.prepare_optimizer(session.optimizer.optimizer)
        gpu_measures._step(session, bench.batches[64])
        assert scaler.get_scale() == 2**16
        said = overflow(bench, scale=2.0**127)
        assert said.startswith("loss scale 2^127 fell to 2^") and "usual 2^16" in said
        assert scaler.get_scale() < 2.0**127
        assert overflow(bench, scale=2.0) == "loss scale 2^1 led to no overflow"
    finally:
        session.close()


def test_what_fails_is_told_and_the_next_case_is_measured(tiny_model: Path, tmp_path: Path) -> None:
    bench = open_bench(tiny_model, tmp_path, (64,), {"training.precision": "float32"}, EFFORT)
    try:
        failed, measured = gpu_measures.cases(bench, [(4096, 1), (64, 1)])
    finally:
        bench.session.close()
    assert failed.seconds is None and failed.remark == "KeyError: 4096"
    assert measured.seconds and measured.peak and measured.estimate and not measured.remark


def test_what_is_not_reached_in_time_is_told(tmp_path: Path) -> None:
    options = gpu.options_of(["--tiny", "--minutes", "0", "--families", "sd15"])
    rows = gpu.run_all(options, tmp_path)
    assert [row.way for row in rows] == [way.name for way in gpu.WAYS]
    assert {row.remark for row in rows} == {"not measured, the time was over"}


def test_losses_are_held_against_the_processor_of_the_same_family() -> None:
    rows = [
        Row("sd15", "bf16", loss=1.009),
        Row("sdxl", "bf16", loss=1.02),
        Row("sd15", "processor", loss=1.0),
        Row("sd15", "fp16", loss=1.011),
    ]
    near, alone, reference, far = (row.remark for row in gpu.compared(rows))
    assert near == "loss 9.0e-03 from the processor's, within 0.01"
    assert alone == "loss not compared, the processor's is not there"
    assert reference == "" and far == "loss 1.1e-02 from the processor's, MORE THAN 0.01"


def test_spans_that_overlap_count_once() -> None:
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4
    assert covered([]) == 0


def test_the_report_takes_the_place_of_an_older_one() -> None:
    text = "# Measured\n\nWords.\n\n## Training on a GPU\n\nold\n\n## Other\n\nstays\n"
    new = "## Training on a GPU\n\nnew\n"
    assert gpu.with_section(text, new) == text.replace("old", "new")
    assert gpu.with_section("", new) == f"# Measured\n\n{new}"
    assert gpu.with_section(gpu.with_section("", new), new) == f"# Measured\n\n{new}"


def test_tiny_models_are_not_written_down(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.options_of(["--tiny", "--write"])
    assert "worth writing down" in capsys.readouterr().err


def test_random_weights_are_the_same_each_time_and_keep_what_passes_through(
    tiny_model: Path,
) -> None:
    with random_weights():
        first, second = load(tiny_model), load(tiny_model)
    own = load(tiny_model)
    name = "down_blocks.0.resnets.0.conv1.weight"
    one, other, stored = (m.parts["unet"].state_dict()[name] for m in (first, second, own))
    assert torch.equal(one, other) and not torch.equal(one, stored)
    noisy = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        text = first.text.encode(["a cat"])
        out = first.predict(noisy, torch.tensor([500]), text, [])
    assert 0.05 < out.std() < 5


@pytest.mark.slow
@pytest.mark.parametrize("name", [one.info.name for one in families()])
def test_models_of_real_size_take_no_room_on_the_disk(name: str, tmp_path: Path) -> None:
    info = family(name).info
    folder = write_full_size(info, tmp_path / "model")
    base = detect(str(folder))
    assert base.family == name and base.default_resolution == info.default_resolution
    roles = tuple(dict.fromkeys(part.role for part in info.parts))
    weights = sum(torch.Size(layer.shape).numel() for layer in layers_of(base, roles))
    assert weights > 1e9
    files = list(folder.rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) > 2 * weights
    if hasattr(files[0].stat(), "st_blocks"):
        assert sum(file.stat().st_blocks * 512 for file in files) < 10e6
