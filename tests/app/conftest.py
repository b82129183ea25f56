"""Fixtures for the window: a styled application, folders of pictures, a base model's files."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

from app import dialogs
from app.state import SettingsState
from app.window import Window

Settled = Callable[[Window], None]


@pytest.fixture(autouse=True)
def _gui_collector(gui_collector: None) -> None:
    """See `gui_collector`."""


@pytest.fixture
def state(styled: QApplication) -> SettingsState:
    """Settings at their defaults, with a clock that a test moves by `state.clock[0] += 5`."""
    clock = [0.0]
    result = SettingsState(clock=lambda: clock[0])
    result.clock = clock  # type: ignore[attr-defined]
    return result


def make_pictures(folder: Path, count: int, captioned: int) -> Path:
    """A folder of `count` small pictures, the first `captioned` with a caption file."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        size = [(96, 64), (64, 96), (80, 80)][number % 3]
        colour = (40 + 9 * number % 200, 90, 160)
        Image.new("RGB", size, colour).save(folder / f"picture {number}.png")
        if number < captioned:
            (folder / f"picture {number}.txt").write_text(f"thing {number}", encoding="utf-8")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five pictures, three with captions."""
    return make_pictures(tmp_path / "robots", 5, 3)


def write_weights(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of float16 zeros."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))


@pytest.fixture
def base_model(tmp_path: Path) -> Path:
    """The files by which a small SD1.x model in diffusers format is known."""
    folder = tmp_path / "base"
    files: dict[str, Any] = {
        "model_index.json": {"_class_name": "StableDiffusionPipeline"},
        "unet/config.json": {
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": [8, 16],
            "sample_size": 8,
            "cross_attention_dim": 16,
            "norm_num_groups": 8,
        },
        "vae/config.json": {"block_out_channels": [8, 8, 8, 8], "norm_num_groups": 8},
        "text_encoder/config.json": {},
        "scheduler/scheduler_config.json": {
            "num_train_timesteps": 1000,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "prediction_type": "v_prediction",
        },
        "tokenizer/tokenizer.json": {"model": {"vocab": {"a": 0}}},
    }
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data), encoding="utf-8")
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    write_weights(
        folder / "unet" / "diffusion_pytorch_model.safetensors",
        {f"{block}.attn1.to_q.weight": (8, 8), f"{block}.ff.net.2.weight": (8, 32)},
    )
    write_weights(folder / "vae" / "diffusion_pytorch_model.safetensors", {"x": (1,)})
    write_weights(
        folder / "text_encoder" / "model.safetensors",
        {"text_model.encoder.layers.0.self_attn.q_proj.weight": (16, 16)},
    )
    return folder


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Answers to questions instead of dialogs: `ask`, `name`; `told` and `asked` list what came."""
    given: dict[str, Any] = {"ask": "cancel", "name": None, "told": [], "asked": []}

    def ask(parent: Any, title: str, text: str, choices: Any, detail: str = "") -> str:
        given["asked"].append(text)
        assert given["ask"] in [key for key, _ in choices]
        return str(given["ask"])

    def ask_name(*_: Any) -> str | None:
        return given["name"]

    def tell(parent: Any, title: str, problems: Any) -> None:
        given["told"] += list(problems)

    monkeypatch.setattr(dialogs, "ask", ask)
    monkeypatch.setattr(dialogs, "ask_name", ask_name)
    monkeypatch.setattr(dialogs, "tell", tell)
    return given


@pytest.fixture
def make_window(
    styled: QApplication, qtbot: Any, answers: dict[str, Any]
) -> Iterator[Callable[[], Window]]:
    """Opens main windows of 1280 x 720 and closes them."""
    opened: list[Window] = []

    def make() -> Window:
        window = Window()
        window.resize(1280, 720)
        window.show()
        opened.append(window)
        return window

    yield make
    for window in opened:
        window.close()
        window.deleteLater()
    styled.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def window(make_window: Callable[[], Window]) -> Window:
    """One main window as at the first start."""
    return make_window()


@pytest.fixture
def settled(qtbot: Any) -> Settled:
    """Waits until a window's background work and its plan are done."""

    def wait(window: Window) -> None:
        qtbot.waitUntil(
            lambda: (
                window.background.is_idle()
                and not window.plan_watch.busy
                and not window.model_watch.busy()
            ),
            timeout=20000,
        )

    return wait


@pytest.fixture
def complete(window: Window, pictures: Path, base_model: Path, settled: Settled) -> Window:
    """A window whose settings can be trained, with one picture there twice."""
    shutil.copy(pictures / "picture 1.png", pictures / "twin.png")
    (pictures / "long.txt").write_text("very " * 90, encoding="utf-8")
    Image.new("RGB", (80, 80), (250, 0, 0)).save(pictures / "long.png")
    window.take_dropped([pictures])
    window.state.set("model.base", str(base_model))
    window.state.set("training.resolution", 64)
    window.state.set("training.warmup_steps", 0)
    settled(window)
    return window


@pytest.fixture
def process_deletions(styled: QApplication) -> Callable[[], None]:
    """Deletes what was to be deleted later, as the event loop does."""
    return lambda: styled.sendPostedEvents(None, QEvent.Type.DeferredDelete)
