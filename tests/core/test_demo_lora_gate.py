"""The demo preset, trained once as a user would: the robot is there, and the rest still is."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
JUDGE = ROOT / "packaging" / "demo_world" / "judge.safetensors"
RESOURCES = ROOT / "resources"

sys.path.append(str(ROOT / "packaging"))
gate = importlib.import_module("measure_demo_lora")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Trained:
    """A finished demo run: its LoRA, and what it cost in core seconds (0 where unknown)."""

    lora: Path
    core_seconds: float


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    run = tmp_path_factory.mktemp("demo") / "run"
    command = [sys.executable, "-m", "core.cli", "train", "demo", "--run-dir", str(run), "--json"]
    before, begun = _children_seconds(), time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=1500
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    # Windows does not count children's time: there the wall time stands in for one core.
    used = _children_seconds() - before or time.monotonic() - begun
    return Trained(run / "lora.safetensors", used)


@pytest.fixture(scope="module")
def measures(trained: Trained) -> dict[str, Any]:
    return gate.measure_lora(
        trained.lora, RESOURCES / "demo_model", RESOURCES / "demo_dataset", JUDGE
    )


def test_the_measure_tells_the_robot_from_a_box_of_its_colour() -> None:
    references = gate.references_of(gate.training_pictures(RESOURCES / "demo_dataset"))
    known = gate.controls(references)
    assert len(references) >= 12
    assert known["ceiling"] > 0.9
    assert known["plain_box"] < 0.5


def test_training_takes_less_than_four_minutes_on_two_cores(trained: Trained) -> None:
    assert trained.core_seconds < 2 * 240


def test_the_robot_is_plainly_there(measures: dict[str, Any]) -> None:
    assert measures["robot_with"] >= measures["robot_without"] + gate.GAIN, measures
    assert measures["robot_share"] >= gate.SHARE, measures


def test_other_prompts_still_work(measures: dict[str, Any]) -> None:
    assert measures["bleeding"] <= gate.BLEEDING, measures
    for name, value in measures["rest_without"].items():
        assert measures["rest_with"][name] >= value - gate.LOSS, measures


def test_the_whole_gate_is_met(measures: dict[str, Any]) -> None:
    assert gate.failures(measures) == []
