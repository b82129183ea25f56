"""Runs whose renames, replacements and removals are refused at random end as without that."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.refusals import Refusals, is_programs_call, refusal

NUMBERS = (5, 32, 33, 1224)
# `files` tries ten times; a program that holds a file for a moment lets go before.
MOST_IN_A_ROW = 6


def refuse_at_random(patch: pytest.MonkeyPatch, random: Random) -> list[str]:
    """Refuse about half of Limner's calls, some several times; returns what was refused."""
    refused: list[str] = []
    in_a_row: dict[str, int] = {}

    def refusing(call: Callable[..., None]) -> Callable[..., None]:
        def perhaps(*paths: Any, **named: Any) -> None:
            name = os.fsdecode(paths[0])
            before = in_a_row.get(name, 0)
            if is_programs_call() and before < MOST_IN_A_ROW and random.random() < 0.5:
                in_a_row[name] = before + 1
                refused.append(name)
                raise refusal(name, random.choice(NUMBERS))
            in_a_row[name] = 0
            call(*paths, **named)

        return perhaps

    for name in ("rename", "replace", "unlink", "remove"):
        patch.setattr(os, name, refusing(getattr(os, name)))
    return refused


def left(folder: Path) -> list[str]:
    """All files of a run by name, but for the texts that hold times."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_twenty_runs_with_refusals_at_random_end_as_without(
    make_job, run_trainer, monkeypatch: pytest.MonkeyPatch, refusals: Refusals
) -> None:
    job = make_job(
        training__max_steps=3,
        checkpoints__every=1,
        checkpoints__every_unit="step",
        checkpoints__keep_states=1,
        lora__text_encoder=False,
    )
    usual = run_trainer(job)
    weights, names = load_file(usual.folder.lora_file), left(usual.folder.path)
    told = [event.type for event in usual.events]
    refused = 0
    for seed in range(20):
        with monkeypatch.context() as patch:
            seen = refuse_at_random(patch, Random(seed))
            run = run_trainer(job)
        refused += len(seen)
        assert run.outcome.status == "finished", seed
        assert [event.type for event in run.events] == told, seed
        assert left(run.folder.path) == names, seed
        found = load_file(run.folder.lora_file)
        assert found.keys() == weights.keys()
        assert all(torch.equal(found[key], weights[key]) for key in found), seed
    assert refused > 20 * 10
