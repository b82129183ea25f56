"""How long and how large: judged from earlier runs and the model's header."""

from __future__ import annotations

import json
from pathlib import Path

from app.estimates import lora_bytes, seconds_per_step
from app.footer import duration, size
from core.config.job import Job
from core.families.detect import detect


def job(**lora: object) -> Job:
    """A job with LoRA settings."""
    return Job.model_validate({"lora": lora})


def test_the_files_size_follows_from_the_layers(base_model: Path) -> None:
    file = detect(str(base_model))
    # to_q is 8 x 8, ff.net.2 is 8 x 32, q_proj is 16 x 16; float16 has two bytes.
    assert lora_bytes(job(rank=4, targets="attention"), file) == 4 * (8 + 8) * 2
    assert lora_bytes(job(rank=4, targets="attention_ff"), file) == 4 * (16 + 40) * 2
    with_text = job(rank=4, targets="attention", text_encoder=True)
    assert lora_bytes(with_text, file) == 4 * (16 + 32) * 2


def write_run(runs: Path, name: str, data: Job, seconds: list[float]) -> None:
    """An earlier run with some steps."""
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(data.model_dump()))
    lines = [
        json.dumps({"type": "step", "step": i, "total": 9, "seconds": s})
        for i, s in enumerate(seconds)
    ]
    (folder / "events.jsonl").write_text("\n".join(['{"type": "hel', *lines]))


def test_the_newest_comparable_run_tells_the_pace(tmp_path: Path) -> None:
    write_run(tmp_path, "2026-01-01-a", job(rank=8), [9.0, 9.0, 9.0])
    write_run(tmp_path, "2026-01-02-b", job(rank=8), [1.0, 2.0, 30.0])
    write_run(tmp_path, "2026-01-03-c", job(rank=16), [5.0])
    (tmp_path / "2026-01-04-broken").mkdir()
    (tmp_path / "2026-01-04-broken" / "job.json").write_text("{")
    assert seconds_per_step(job(rank=8), tmp_path) == 2.0
    assert seconds_per_step(job(rank=32), tmp_path) == 0.0
    assert seconds_per_step(job(rank=8), tmp_path / "none") == 0.0


def test_durations_and_sizes_are_rough() -> None:
    assert [duration(s) for s in (4, 42, 61, 1800, 9000)] == [
        "4 s",
        "40 s",
        "1 min",
        "30 min",
        "2.5 h",
    ]
    assert [size(n) for n in (90_000, 18_400_000, 1_200_000_000)] == ["90 kB", "18 MB", "1.2 GB"]
