"""Settings without effect are told, with what keeps them from counting."""

from __future__ import annotations

from typing import Any

import pytest

from core.config.job import Job, defaults, set_path
from core.config.presets import load_preset
from core.config.unused import unused_problems
from core.paths import builtin_presets_dir


def told(**changes: Any) -> list[tuple[str, str]]:
    data = defaults()
    for path, value in changes.items():
        data = set_path(data, path.replace("__", "."), value)
    return [(p.setting, p.title) for p in unused_problems(Job.model_validate(data))]


def test_the_defaults_and_the_built_in_presets_have_none() -> None:
    assert told() == []
    for path in builtin_presets_dir().rglob("*.json"):
        assert list(unused_problems(Job.model_validate(load_preset(path).data))) == [], path


def test_a_text_encoder_rate_counts_with_adamw_alone() -> None:
    rate = {"training__text_encoder_learning_rate": 5e-5}
    assert told(**rate, lora__text_encoder=True) == []
    (setting, title), *more = told(
        **rate, lora__text_encoder=True, training__optimizer="prodigy", training__learning_rate=1.0
    )
    assert setting == "training.text_encoder_learning_rate" and more == []
    assert title == "Text encoder learning rate has no effect, because Optimizer is Prodigy."
    assert "because Train the text encoder is off" in told(**rate)[0][1]


@pytest.mark.parametrize(
    ("changes", "setting", "why"),
    [
        ({"training__prodigy__d_coef": 2.0}, "training.prodigy.d_coef", "Optimizer is AdamW"),
        ({"training__ema__decay": 0.9}, "training.ema.decay", "Average the weights is off"),
        ({"training__loss__min_snr_gamma": 1.0}, "training.loss.min_snr_gamma", "is None"),
        (
            {"concepts__0__path": "x", "concepts__0__image__rotation_most": 30.0},
            "concepts.0.image.rotation_most",
            "is 0",
        ),
        (
            {"concepts__0__path": "x", "concepts__0__mask__outside": 0.5},
            "concepts.0.mask.outside",
            "has no effect",
        ),
        (
            {"training__buckets__step": 64, "training__buckets__square": True},
            "training.buckets.step",
            "Squares only is on",
        ),
    ],
)
def test_each_is_told_with_its_reason(changes: dict[str, Any], setting: str, why: str) -> None:
    ((where, title),) = told(**changes)
    assert where == setting and why in title


def test_what_is_switched_off_as_a_whole_is_passed_over() -> None:
    off = {"concepts__0__path": "x", "concepts__0__image__rotation_most": 30.0}
    assert told(**off, concepts__0__enabled=False) == []
    assert told(sampling__every=5, sampling__every_unit="never") == []
