"""A base model and pictures small enough to train in a terminal's blink."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]
SCRIPTED = Path(__file__).with_name("scripted.py")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMNER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model in diffusers format."""
    from core.families.registry import family

    return family("sd15").build_tiny(tmp_path_factory.mktemp("models") / "tiny model", seed=0)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five drawn pictures, four with captions."""
    folder = tmp_path_factory.mktemp("data") / "Bilder 图"
    folder.mkdir()
    for number in range(5):
        image = Image.new("RGB", (64, 64 + 32 * (number % 2)), (50 * number, 90, 200))
        ImageDraw.Draw(image).ellipse((8, 8, 50, 50), fill=(250, 30 * number, 20))
        image.save(folder / f"{number}.png")
        if number:
            (folder / f"{number}.txt").write_text("a red thing", encoding="utf-8")
    return folder


@pytest.fixture
def settings(base_model: Path, pictures: Path) -> list[str]:
    """Arguments that make a small job of the preset `# demo`, on `pictures` alone."""
    changes = {
        "model.base": base_model,
        "concepts.0.path": pictures,
        "concepts.1.enabled": False,
        "lora.rank": 2,
        "training.max_steps": 4,
        "training.batch_size": 2,
        "sampling.every_unit": "never",
        "checkpoints.every": 2,
    }
    return [part for path, value in changes.items() for part in ("--set", f"{path}={value}")]


Limner = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(own_folder: Path) -> dict[str, str]:
    """The environment of the command line as a process of its own."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


@pytest.fixture
def limner(environment: dict[str, str], tmp_path: Path) -> Limner:
    """Run the command line as a process of its own."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "core.cli", *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=environment,
            cwd=tmp_path,
            timeout=300,
            check=False,
        )

    return call


@pytest.fixture
def scripted(environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the command line with workers that have a scripted trainer of that name."""

    def start(name: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(SCRIPTED), name, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
            cwd=tmp_path,
        )

    return start
