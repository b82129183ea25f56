"""The whole way through the real window: choose the demo, press Train, watch, get the LoRA."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from app import dialogs
from app.window import Window
from core.lora.file import lora_info
from core.paths import resources_dir


@pytest.fixture
def window(styled, qtbot, monkeypatch) -> Window:
    """The window as a user finds it; what it would ask or tell in a dialog fails the test."""
    monkeypatch.setattr(dialogs, "ask", lambda *a, **k: pytest.fail(f"asked {a[1:]}"))
    monkeypatch.setattr(dialogs, "tell", lambda *a, **k: pytest.fail(f"told {a[1:]}"))
    window = Window()
    qtbot.addWidget(window)
    window.show()
    return window


@pytest.mark.slow
def test_train_the_demo_in_the_window(window: Window, qtbot) -> None:
    window.load_demo()
    for path, value in {
        "training.max_steps": 8,
        "sampling.every": 4,
        "checkpoints.every": 4,
        "lora.rank": 4,
    }.items():
        window.state.set(path, value)
    controls = window.run.controls
    qtbot.waitUntil(controls.train.isEnabled, timeout=30_000)
    assert not window.run.isVisible()
    qtbot.mouseClick(controls.train, Qt.MouseButton.LeftButton)
    assert window.run.isVisible()
    qtbot.waitUntil(window.run.is_running, timeout=10_000)
    assert controls.train.text() == "Add to queue" and controls.stop.isEnabled()

    def over() -> bool:
        view = window.run.view()
        return view is not None and not window.run.is_running() and view.state == "finished"

    qtbot.waitUntil(over, timeout=240_000)
    view = window.run.view()
    assert view is not None and (view.step, view.total) == (8, 8)
    assert list(view.loss.steps) == list(range(1, 9))
    prompts = len([p for p in window.state.get("sampling.prompts") if p["enabled"]])
    assert len(view.prompts()) == prompts
    assert view.picture_steps(0) == [0, 4, 8]
    newest = window.run.gallery.shown_picture()
    assert newest is not None and newest.step == 8
    (run,) = [p for p in Path(window.run.runs_dir).iterdir() if (p / "job.json").exists()]
    info = lora_info(run / "lora.safetensors")
    assert info.metadata["ss_steps"] == "8" and dict(info.ranks).keys() == {4}
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == [
        "step-000004",
        "step-000008",
    ]
    qtbot.waitUntil(controls.train.isEnabled, timeout=10_000)
    # What the run took is known now.
    qtbot.waitUntil(lambda: "about" in window.footer.summary.full_text(), timeout=20_000)


@pytest.mark.slow
def test_a_model_of_sdxls_shape_goes_the_whole_way(window: Window, qtbot, tmp_path: Path) -> None:
    """Detected, checked, trained, sampled, saved: as small as it can be, and not learned."""
    from core.families.registry import family

    base = family("sdxl").build_tiny(tmp_path / "tiny xl", seed=0)
    window.presets.refresh()
    window.presets.choose("# sdxl 1.0 lora")
    window.take_dropped([resources_dir() / "demo_dataset"])
    for path, value in {
        "model.base": str(base),
        "concepts.0.prompt.trigger": "zxlimbot",
        "training.resolution": 64,
        "training.max_steps": 2,
        "training.gradient_accumulation": 1,
        "training.warmup_steps": 0,
        "lora.rank": 2,
        "sampling.every_unit": "epoch",
    }.items():
        window.state.set(path, value)
    controls = window.run.controls
    qtbot.waitUntil(lambda: window.model_watch.file is not None, timeout=30_000)
    assert window.model_watch.file.family == "sdxl"
    qtbot.waitUntil(lambda: "2 steps" in window.footer.summary.full_text(), timeout=30_000)
    assert not [p for p in window.plan_watch.problems() if p.severity == "error"]
    qtbot.mouseClick(controls.train, Qt.MouseButton.LeftButton)

    def over() -> bool:
        view = window.run.view()
        return view is not None and not window.run.is_running() and view.state == "finished"

    qtbot.waitUntil(over, timeout=240_000)
    view = window.run.view()
    assert view is not None and view.step == 2
    assert view.picture_steps(0)[-1] == 2
    (run,) = [p for p in Path(window.run.runs_dir).iterdir() if (p / "job.json").exists()]
    info = lora_info(run / "lora.safetensors")
    assert info.metadata["ss_base_model_version"].startswith("sdxl")
    assert set(info.ranks) == {2}


@pytest.mark.slow
def test_stop_saves_and_a_new_window_shows_the_run(window: Window, qtbot, styled) -> None:
    """Stop by mouse; then a second window opens the run from the list and could resume it."""
    window.load_demo()
    window.state.set("training.max_steps", 100_000)
    window.state.set("sampling.every_unit", "never")
    controls = window.run.controls
    qtbot.waitUntil(controls.train.isEnabled, timeout=30_000)
    qtbot.keyClick(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: (v := window.run.view()) is not None and v.step >= 2, timeout=240_000)
    qtbot.mouseClick(controls.stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not window.run.is_running(), timeout=60_000)
    view = window.run.view()
    assert view is not None and view.state == "stopped" and view.last_checkpoint() == view.step
    runs = [p for p in Path(window.run.runs_dir).iterdir() if (p / "job.json").exists()]
    newest = max(runs, key=lambda p: p.stat().st_mtime)
    second = Window()
    qtbot.addWidget(second)
    second.show()
    second.run.attach(newest)
    qtbot.waitUntil(lambda: (v := second.run.view()) is not None and v.step >= 2, timeout=20_000)
    shown = second.run.view()
    assert shown is not None and shown.state == "stopped" and shown.step == view.step
