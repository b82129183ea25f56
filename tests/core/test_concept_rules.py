"""Rules between the settings of the concepts, and presets that use them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.cli.job import build_job
from core.config.concepts import Concept
from core.config.job import Job, validate
from core.config.rules import further_resolutions
from core.data.plan import make_plan
from core.errors import UserError


def _job(*concepts: dict[str, Any], **training: Any) -> dict[str, Any]:
    job = Job(concepts=[Concept.model_validate({"path": ".", **data}) for data in concepts])
    job.model.base = "x"
    data = job.model_dump()
    data["training"].update(training)
    return data


def _found(data: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(p.code, p.severity, p.setting) for p in validate(data)[1]]


def test_a_plain_job_has_no_problems() -> None:
    assert _found(_job({})) == []
    everything = {"kind": "validation", "path": "b"}
    assert _found(_job({}, everything, {"kind": "prior", "count": 3, "path": "c"})) == []


def test_something_must_be_learned() -> None:
    assert _found(_job()) == [("no_concepts", "error", "concepts")]
    assert _found(_job({"enabled": False})) == [("no_concepts", "error", "concepts")]
    assert _found(_job({"enabled": False}, {"kind": "prior"})) == [
        ("no_train_concepts", "error", "concepts.1.kind")
    ]
    assert _found(_job({"loss_weight": 0}, {"kind": "prior", "loss_weight": 1})) == [
        ("loss_weights_zero", "error", "concepts.0.loss_weight")
    ]
    assert _found(_job({"loss_weight": 0}, {"loss_weight": 0.1})) == []


def test_validation_that_never_happens() -> None:
    data = _job({}, {"kind": "validation"})
    data["training"]["validation"]["every_unit"] = "never"
    setting = "training.validation.every_unit"
    assert _found(data) == [("validation_never", "warning", setting)]
    data["concepts"][1]["enabled"] = False
    assert _found(data) == []


def test_an_empty_list_of_tags() -> None:
    listed = {"tag_dropout": 0.1, "tag_dropout_for": "listed", "tag_list": " ,\n"}
    setting = "concepts.0.caption.tag_list"
    assert _found(_job({"caption": listed})) == [("tag_list_empty", "warning", setting)]
    for changed in ({"tag_dropout": 0}, {"tag_list": "a"}, {"tag_dropout_for": "not_listed"}):
        assert _found(_job({"caption": {**listed, **changed}})) == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", []), ("384, 640", [384, 640]), (" 384;640 640\t768 ", [384, 640, 768])],
)
def test_further_resolutions(text: str, numbers: list[int]) -> None:
    assert further_resolutions(text) == numbers
    assert _found(_job({}, more_resolutions=text)) == []


@pytest.mark.parametrize("text", ["32", "512, 9999", "10 512"])
def test_further_resolutions_out_of_range(text: str) -> None:
    found = _found(_job({}, more_resolutions=text))
    assert found == [("resolution_out_of_range", "error", "training.more_resolutions")]


@pytest.mark.parametrize("text", ["large", "5", "512,,640", "-512", "12345"])
def test_further_resolutions_that_are_none(text: str) -> None:
    assert _found(_job({}, more_resolutions=text))[0][:2] == ("setting_invalid", "error")


@pytest.mark.parametrize("path", ["model.base", "model.vae", "model.output", "concepts.1.path"])
def test_nul_in_any_path(path: str) -> None:
    data = _job({}, {})
    node: Any = data
    *groups, name = path.split(".")
    for group in groups:
        node = node[int(group)] if group.isdigit() else node[group]
    node[name] = "a\0b.safetensors"
    assert ("path_has_nul", "error", path) in _found(data)


EVERYTHING = {
    "limner": 1,
    "model": {"base": "{resources}/demo_model"},
    "training": {"resolution": 64, "more_resolutions": "96", "validation": {"every": 5}},
    "concepts": [
        {
            "path": "robot",
            "count": 3,
            "small": "leave_out",
            "prompt": {"lines": "whole", "trigger": "zxc"},
            "image": {"flip": 0.5, "rotation": 0.2, "caching": "variants", "variants": 3},
            "mask": {"source": "file", "outside": 0.1},
            "caption": {
                "shuffle": True,
                "keep": 2,
                "tag_dropout": 0.1,
                "tag_dropout_for": "not_listed",
                "tag_list": "zxc\n*hair",
                "choices": True,
                "wildcards": "words",
                "dropout": 0.05,
            },
        },
        {"path": "table", "kind": "prior", "prompt": {"source": "metadata"}},
        {"path": "5_held out", "kind": "validation", "prompt": {"source": "folder_name"}},
        {"path": "robot", "prompt": {"source": "filename", "clean_name": False}},
    ],
}


def test_a_preset_with_everything(tmp_path: Path) -> None:
    for folder in ("robot", "table", "5_held out", "words"):
        (tmp_path / folder).mkdir()
        if folder != "words":
            for number in range(4):
                Image.new("RGB", (100 + number, 120)).save(tmp_path / folder / f"{number}.png")
    for number in range(4):
        (tmp_path / "robot" / f"{number}.txt").write_text("a __colour__ {cat|dog},\nlong hair")
        Image.new("L", (100 + number, 120)).save(tmp_path / "robot" / f"{number}-masklabel.png")
    rows = "".join(f"{number}.png,x\n" for number in range(4))
    (tmp_path / "table" / "metadata.csv").write_text(f"file_name,text\n{rows}")
    (tmp_path / "words" / "colour.txt").write_text("red\n")
    (tmp_path / "all.json").write_text(json.dumps(EVERYTHING))
    built = build_job(str(tmp_path / "all.json"), ["concepts.0.image.flip=0,25"])
    assert built.warnings == ()
    assert built.job.concepts[0].image.flip == 0.25
    assert built.job.concepts[0].caption.wildcards == str(tmp_path / "words")
    plan = make_plan(built.job, bucket_step=8)
    assert plan.problems == ()
    assert [(c.name, c.pictures, c.per_epoch) for c in plan.concepts] == [
        *(("robot", 4, 3), ("table", 4, 8), ("5_held out", 4, 0), ("robot", 4, 8))
    ]
    assert plan.items[0].captions == ("zxc, a __colour__ {cat|dog}, long hair",)
    assert len(plan.validation) == 4 and plan.wildcards == {0: {"colour": ("red",)}}
    assert all(item.mask is not None for item in plan.items if item.concept == 0)


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"colour": 1}, "concepts.0.colour"),
        ({"prompt": {"sauce": "fixed"}}, "concepts.0.prompt.sauce"),
        ({"caption": {"tag_drop": 1}}, "concepts.0.caption.tag_drop"),
    ],
)
def test_unknown_keys_are_named_and_cost_nothing(
    tmp_path: Path, change: dict[str, Any], setting: str
) -> None:
    data = {**EVERYTHING, "concepts": [{"path": ".", **change}]}
    (tmp_path / "odd.json").write_text(json.dumps(data))
    built = build_job(str(tmp_path / "odd.json"), [])
    assert [(p.severity, p.setting) for p in built.warnings] == [("warning", setting)]
    with pytest.raises(UserError):
        build_job(str(tmp_path / "odd.json"), [f"{setting}=1"])


def test_nul_in_a_preset(tmp_path: Path) -> None:
    data = {**EVERYTHING, "concepts": [{"path": "a\0b"}]}
    (tmp_path / "nul.json").write_text(json.dumps(data))
    with pytest.raises(UserError) as caught:
        build_job(str(tmp_path / "nul.json"), [])
    assert [p.code for p in caught.value.problems] == ["path_has_nul"]
