"""What every entry of the registries of training must keep; a new entry inherits these tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.config.fields import walk
from core.config.job import Job, defaults, set_path, validate
from core.config.training import Training
from core.optimizers import OPTIMIZERS, OptimizerKind
from core.schedules import SCHEDULES, Schedule, rate_factor
from tests.training.conftest import RunTrainer

MakeJob = Callable[..., Job]


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_learns_and_resumes_to_the_same_weights(
    make_job: MakeJob, run_trainer: RunTrainer, name: str
) -> None:
    kind = OPTIMIZERS[name]
    job = make_job(
        training__optimizer=name,
        training__learning_rate=kind.usual_rate,
        lora__text_encoder=False,
        training__max_steps=4,
        checkpoints__every=2,
        checkpoints__every_unit="step",
    )
    straight = run_trainer(job)
    losses = [event.loss for event in straight.of("step")]
    assert all(math.isfinite(loss) for loss in losses)
    weights = weights_of(straight.folder.lora_file)
    assert any(tensor.any() for key, tensor in weights.items() if "lora_up" in key)
    resumed = run_trainer(job, folder=straight.folder, resume=straight.folder.checkpoint(2))
    again = weights_of(resumed.folder.lora_file)
    assert all(torch.equal(weights[key], again[key]) for key in weights)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_keeps_as_much_as_it_says(name: str) -> None:
    weight = torch.nn.Parameter(torch.ones(128, 128))
    settings = Training(optimizer=name, learning_rate=OPTIMIZERS[name].usual_rate)
    groups = [{"params": [weight], "lr": settings.learning_rate}]
    optimizer = OPTIMIZERS[name].build(groups, settings)
    weight.square().sum().backward()
    optimizer.step()
    kept = sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )
    told = OPTIMIZERS[name].moments * weight.numel() * 4
    # Tables and counters of a fixed size come on top.
    assert 0.7 * told <= kept <= told + 4096


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_begins_at_the_whole_rate_and_stays_within_it(name: str) -> None:
    factors = [rate_factor(step, 100, 10, name) for step in range(100)]
    assert factors[10] == 1.0
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[:10] == [(step + 1) / 11 for step in range(10)]
    # A run of nothing but warm-up, and one of a single step.
    assert rate_factor(0, 1, 0, name) == 1.0
    assert 0 < rate_factor(4, 5, 10, name) < 1


def test_an_unknown_schedule_is_an_error() -> None:
    with pytest.raises(KeyError):
        rate_factor(5, 10, 0, "cosin")
    job, problems = validate(set_path(defaults(), "training.scheduler", "cosin"))
    assert job is None
    [told] = [p for p in problems if p.setting == "training.scheduler"]
    assert "one of constant, linear, cosine" in told.title


def test_a_new_entry_is_a_choice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else has to be touched: settings, their rules and their texts follow the record."""

    def build(groups: list[dict[str, object]], settings: Training) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=settings.learning_rate)

    plain = OptimizerKind(
        "Plain", "Nothing but the gradient.", 0.0, build, frozenset({"own_rates"})
    )
    monkeypatch.setitem(OPTIMIZERS, "plain", plain)
    halved = Schedule("Half", "Half of the rate.", lambda progress: 0.5)
    monkeypatch.setitem(SCHEDULES, "half", halved)
    data = set_path(defaults(), "training.optimizer", "plain")
    data = set_path(data, "training.scheduler", "half")
    _job, problems = validate(data)
    assert not [p for p in problems if p.setting.startswith("training.")]
    infos = {info.path: info for info in walk(Job)}
    optimizer = infos["training.optimizer"]
    assert optimizer.choices[-1] == "plain"
    assert optimizer.label_of("plain") == "Plain"
    assert optimizer.helps["plain"] == "Nothing but the gradient."
    assert "plain" not in infos["training.beta1"].when["training.optimizer"]
    assert "plain" in infos["training.text_encoder_learning_rate"].when["training.optimizer"]
    assert rate_factor(5, 10, 0, "half") == 0.5


def test_every_choice_has_a_text_of_its_own() -> None:
    for registry in (OPTIMIZERS, SCHEDULES):
        texts = [entry.help for entry in registry.values()]
        assert all(text.endswith(".") for text in texts)
        assert len(set(texts)) == len(texts)
