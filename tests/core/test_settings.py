"""The declaration of settings: complete, validated all at once, edited by path."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.job import (
    BY_PATH,
    SETTINGS,
    Job,
    applies,
    defaults,
    get_path,
    info_of,
    parse_text,
    require,
    set_path,
    validate,
)
from core.config.preset_data import resolve_paths
from core.errors import UserError
from core.paths import foreign_system


def valid() -> dict:
    data = set_path(defaults(), "model.base", "model.safetensors")
    return set_path(data, "concepts.0.path", "pictures")


@pytest.mark.parametrize("info", SETTINGS, ids=lambda info: info.path)
def test_every_setting_is_declared_in_full(info) -> None:
    assert info.title and info.help.endswith((".", "?")), "title and a whole sentence of help"
    assert info.level in ("basic", "all")
    if info.type == "choice":
        assert info.default in info.choices
        assert set(info.labels) == set(info.choices), "every choice has a label"
    if info.optional:
        assert info.empty, "say what an empty field means"
    inside = info.path.split("[].")[0] + "[]." if "[]." in info.path else ""
    for path, allowed in info.when.items():
        other = BY_PATH[inside + path]
        if other.type == "choice":
            assert set(allowed) <= set(other.choices)


def test_names_that_users_rely_on_are_there() -> None:
    names = """model.family model.base model.vae model.prediction_type model.dtype model.output
    concepts[].name concepts[].path concepts[].enabled concepts[].include_subfolders
    concepts[].kind concepts[].repeats concepts[].loss_weight concepts[].prompt.source
    concepts[].prompt.file concepts[].prompt.text concepts[].prompt.trigger
    concepts[].resolution lora.type lora.rank lora.alpha lora.dropout lora.targets
    lora.text_encoder lora.dtype training.epochs training.max_steps training.batch_size
    training.gradient_accumulation training.resolution training.optimizer
    training.learning_rate training.scheduler training.warmup_steps training.seed
    training.precision training.gradient_checkpointing sampling.every sampling.every_unit
    checkpoints.every checkpoints.every_unit checkpoints.keep_states checkpoints.dtype
    checkpoints.format""".split()  # noqa: SIM905
    assert [name for name in names if name not in BY_PATH] == []
    assert BY_PATH["sampling.every_unit"].choices == ("step", "epoch", "minute", "never")


def test_all_problems_come_at_once_with_their_paths() -> None:
    data = valid()
    for path, value in [
        ("training.learning_rate", "fast"),
        ("training.batch_size", 0),
        ("lora.rank", 1.5),
        ("training.optimizer", "sgd"),
        ("concepts.0.repeats", -1),
    ]:
        data = set_path(data, path, value)
    data["lora"]["rnak"] = 3
    job, problems = validate(data)
    assert job is None
    assert {p.setting for p in problems} == {
        "training.learning_rate",
        "training.batch_size",
        "lora.rank",
        "training.optimizer",
        "concepts.0.repeats",
        "lora.rnak",
    }
    wrong = next(p for p in problems if p.setting == "training.batch_size")
    assert "at least 1" in wrong.title and "Batch size" in wrong.title and "0" in wrong.title
    assert "adamw" in next(p for p in problems if p.setting == "training.optimizer").title


def test_nan_and_infinity_are_refused() -> None:
    for value in (float("nan"), float("inf")):
        assert validate(set_path(valid(), "training.learning_rate", value))[0] is None


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("model.base", " ", "base_missing"),
        ("concepts", [], "no_concepts"),
        ("concepts.0.enabled", False, "no_concepts"),
        ("concepts.0.path", "", "concept_no_folder"),
        ("concepts.0.prompt.source", "single_file", "concept_no_caption_file"),
        ("model.output", "lora.ckpt", "output_not_safetensors"),
        ("training.learning_rate", 1.0, "learning_rate_high"),
        ("training.timesteps.min", 1.0, "setting_invalid"),
    ],
)
def test_rules_between_fields(path, value, code) -> None:
    job, problems = validate(set_path(valid(), path, value))
    assert job is None and code in [p.code for p in problems]


def test_prodigy_wants_rate_one() -> None:
    data = set_path(valid(), "training.optimizer", "prodigy")
    job, problems = validate(data)
    assert job is None and problems[0].code == "prodigy_learning_rate"
    job, problems = validate(set_path(data, "training.learning_rate", 0.5))
    assert job is not None and problems[0].severity == "warning"
    job, problems = validate(set_path(data, "training.learning_rate", 1.0))
    assert job is not None and not problems


def test_require_raises_every_error() -> None:
    with pytest.raises(UserError) as caught:
        require({})
    assert [p.code for p in caught.value.problems] == ["base_missing", "no_concepts"]


def test_paths_into_lists() -> None:
    data = set_path(defaults(), "sampling.prompts.0.prompt", "a cat")
    assert get_path(data, "sampling.prompts.0.prompt") == "a cat"
    assert defaults()["sampling"]["prompts"] == []
    for path in ("nothing", "training.nothing", "concepts.5.path", "training.seed.x", "concepts.x"):
        with pytest.raises(KeyError):
            set_path(data, path, 1)
    assert info_of("sampling.prompts.3.seed") is BY_PATH["sampling.prompts[].seed"]
    assert info_of("training.nothing") is None


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("training.learning_rate", "1e-4", 1e-4),
        ("training.learning_rate", "0,0001", 1e-4),
        ("training.batch_size", "4", 4),
        ("training.batch_size", "four", "four"),
        ("training.max_steps", "none", None),
        ("lora.text_encoder", "Yes", True),
        ("lora.text_encoder", "off", False),
        ("model.base", "C:\\models\\1.5.safetensors", "C:\\models\\1.5.safetensors"),
    ],
)
def test_text_from_the_command_line(path, text, value) -> None:
    assert parse_text(info_of(path), text) == value


@pytest.mark.parametrize(
    ("path", "written", "readings"),
    [
        ("training.max_steps", "1.000", "can mean 1 or 1000; write 1 or 1000"),
        ("training.max_steps", "1,500", "can mean 1.5 or 1500; write 1500"),
        ("training.learning_rate", "1,000", "can mean 1 or 1000; write 1 or 1000"),
        ("lora.alpha", "1.125", "can mean 1.125 or 1125; write 1.1250 or 1125"),
    ],
)
def test_a_thousand_or_one_is_asked_about(path, written, readings) -> None:
    # The window and job files hold what was typed, the command line passes it on unchanged.
    for value in (written, parse_text(info_of(path), written)):
        _, problems = validate(set_path(valid(), path, value))
        assert [(p.code, p.setting) for p in problems] == [("setting_invalid", path)]
        assert readings in problems[0].title


@pytest.mark.parametrize(
    ("path", "written", "value"),
    [
        ("training.learning_rate", "0,0001", 1e-4),
        ("training.learning_rate", "0.001", 1e-3),
        ("training.learning_rate", "1e-4", 1e-4),
        ("training.max_steps", "1 000", 1000),
        ("training.max_steps", "1e3", 1000),
    ],
)
def test_numbers_in_quotes_mean_the_same_in_job_files(path, written, value) -> None:
    job, problems = validate(set_path(valid(), path, written))
    assert job is not None, problems
    assert get_path(job, path) == value == parse_text(info_of(path), written)


@pytest.mark.parametrize("written", ["16.0", "1,5", "four", True, "1_0.0", "9" * 5000, ""])
def test_whole_numbers_take_no_decimal_mark(written) -> None:
    _, problems = validate(set_path(valid(), "training.batch_size", written))
    assert [p.setting for p in problems] == ["training.batch_size"]
    assert len(problems[0].title) < 200


def test_conditions() -> None:
    data = valid()
    assert applies(BY_PATH["training.loss.kind"], data)
    assert not applies(BY_PATH["training.loss.huber_delta"], data)
    data = set_path(data, "training.loss.kind", "huber")
    assert applies(BY_PATH["training.loss.huber_delta"], data)
    fixed = BY_PATH["concepts[].prompt.text"]
    assert not applies(fixed, data, data["concepts"][0])
    data = set_path(data, "concepts.0.prompt.source", "fixed")
    assert applies(fixed, data, data["concepts"][0])


@given(st.integers(1, 64), st.floats(1e-6, 0.05), st.booleans())
def test_a_job_survives_json(rank: int, rate: float, text: bool) -> None:
    data = valid()
    for path, value in [
        ("lora.rank", rank),
        ("training.learning_rate", rate),
        ("lora.text_encoder", text),
    ]:
        data = set_path(data, path, value)
    job = require(data)
    assert Job.model_validate_json(job.model_dump_json()) == job


@pytest.mark.parametrize(
    "written",
    [
        "D:\\models\\sd15.safetensors",
        "C:/Users/ann/cat",
        "e:",
        "\\\\nas\\share\\cat",
        "..\\cat",
        "~\\cat",
        "%USERPROFILE%\\cat",
    ],
)
def test_paths_of_windows_are_known_elsewhere(written) -> None:
    assert foreign_system(written, windows=False) == "Windows"
    assert foreign_system(written, windows=True) == ""


def test_paths_of_other_systems_are_known_on_windows() -> None:
    for written in ("/home/ann/cat", "/Volumes/x/cat", "/mnt/c/Users/ann"):
        assert foreign_system(written, windows=True) == "Linux or macOS"
        assert foreign_system(written, windows=False) == ""
    for written in ("cat", "a/b", "~/cat", "owner/name", "//nas/share", "a:b", "1.5\\x", ""):
        assert foreign_system(written, windows=False) == ""
        assert foreign_system(written, windows=True) == ""


@pytest.mark.skipif(os.name == "nt", reason="there they are paths")
@pytest.mark.parametrize(
    "path", ["model.base", "model.vae", "model.output", "concepts.0.path", "concepts.0.prompt.file"]
)
def test_paths_of_another_system_are_refused_as_they_were_written(path, tmp_path) -> None:
    data = set_path(valid(), path, "E:\\loras\\x.safetensors")
    data = resolve_paths(data, tmp_path)
    assert get_path(data, path) == "E:\\loras\\x.safetensors"
    _, problems = validate(data)
    assert [(p.code, p.setting) for p in problems] == [("path_foreign", path)]
    assert "a path of Windows" in problems[0].title


@pytest.mark.parametrize("path", ["model.base", "model.output", "concepts.0.path"])
@pytest.mark.parametrize("written", ["/" + "x" * 100_000, "/" + "x" * 256, "a/" * 17_000])
def test_paths_that_no_disk_takes_are_named_and_not_printed_whole(path, written) -> None:
    _, problems = validate(set_path(valid(), path, f"{written}.safetensors"))
    assert [(p.code, p.setting) for p in problems] == [("path_too_long", path)]
    assert len(problems[0].title) < 250
