"""What pre-flight says of a folder with bad files in it is what training then does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.config.job import Job
from core.runs.preflight import preflight


@pytest.fixture
def mixed(pictures: Path, tmp_path: Path) -> Path:
    """Whole pictures, cut off ones, and such whose mask or transparency leaves nothing."""
    folder = tmp_path / "mixed 混合"
    folder.mkdir()
    for path in pictures.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for ending in ("png", "jpg", "webp"):
        path = folder / f"cut.{ending}"
        Image.effect_noise((90, 90), 40).convert("RGB").save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    (folder / "page.jpg").write_text("<html>", encoding="utf-8")
    Image.new("L", (64, 64), 0).save(folder / "0-masklabel.png")
    Image.new("L", (96, 64), 255).save(folder / "1-masklabel.png")
    (folder / "2-masklabel.png").write_bytes((folder / "0-masklabel.png").read_bytes()[:50])
    Image.new("RGBA", (70, 70), (200, 10, 10, 0)).save(folder / "glass.png")
    return folder


CHANGES = {
    "as they are": {},
    "versions": {"image__flip": 0.5, "image__crop_jitter": 1.0, "image__variants": 3},
    "anew": {"image__flip": 0.5, "image__caching": "off"},
}


@pytest.mark.parametrize("masks", ["none", "file", "alpha"])
@pytest.mark.parametrize("changes", CHANGES)
def test_steps_and_pictures_left_out(
    make_job: Callable[..., Job],
    run_trainer: Callable[..., Any],
    mixed: Path,
    masks: str,
    changes: str,
) -> None:
    settings = {"path": str(mixed), "repeats": 1.5, "mask__source": masks, **CHANGES[changes]}
    job = make_job(
        lora__text_encoder=False,
        training__epochs=2,
        training__max_steps=None,
        training__more_resolutions="128",
        **{f"concepts__0__{name}": value for name, value in settings.items()},
    )
    told = preflight(job, duplicates=True)
    assert told.plan is not None and not told.errors
    codes = ("picture_unreadable", "mask_unreadable", "mask_black")
    left_out = {Path(problem.file).name for problem in told.problems if problem.code in codes}
    assert len(left_out) == {"none": 4, "file": 6, "alpha": 5}[masks]
    run = run_trainer(job)
    warned = {Path(warning.file).name for warning in run.of("warning") if warning.code in codes}
    steps = run.of("step")
    # Training names the picture of a damaged mask, not the mask.
    assert {name.replace("-masklabel", "") for name in left_out} == {
        name.replace("-masklabel", "") for name in warned
    }
    assert {step.total for step in steps} == {told.plan.total_steps} == {len(steps)}
    assert all(step.loss is not None for step in steps)
