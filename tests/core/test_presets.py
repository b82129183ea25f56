"""Presets: nothing is lost, nothing is silently taken, built-ins stay as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import presets
from core.config.fields import SettingInfo
from core.config.job import SETTINGS, Job, defaults, get_path, set_path, validate
from core.config.preset_data import migrate, over_defaults
from core.config.presets import (
    delete_preset,
    diff,
    duplicate_preset,
    export_preset,
    find_preset,
    import_preset,
    list_presets,
    load_preset,
    minimal,
    preset_path,
    rename_preset,
    resolve_paths,
    save_preset,
    valid_name,
)
from core.errors import UserError
from core.paths import builtin_presets_dir, resources_dir, user_presets_dir

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


# Texts that have a form of their own.
FORMS = {
    "concepts[].background": st.from_regex(r"#[0-9a-fA-F]{6}", fullmatch=True),
    "training.more_resolutions": st.lists(st.integers(64, 4096), max_size=3).map(
        lambda numbers: ", ".join(str(number) for number in numbers)
    ),
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMNER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    return tmp_path


def values(info: SettingInfo) -> st.SearchStrategy[Any]:
    """Valid values of a setting."""
    found: st.SearchStrategy[Any]
    low = info.minimum if info.minimum is not None else -1e6
    high = info.maximum if info.maximum is not None else 1e6
    if info.type == "choice":
        found = st.sampled_from(info.choices)
    elif info.type == "bool":
        found = st.booleans()
    elif info.type == "int":
        found = st.integers(int(low), int(high))
        if info.multiple_of:
            step = int(info.multiple_of)
            found = found.map(lambda v: max(-(-int(low) // step) * step, v // step * step))
    elif info.type == "float":
        found = st.floats(low, high, exclude_min=info.minimum_open, exclude_max=info.maximum_open)
    else:
        found = FORMS.get(info.path, TEXT)
    return st.none() | found if info.optional else found


@st.composite
def full_data(draw: st.DrawFn) -> dict[str, Any]:
    """A job's data with some settings changed, with concepts and prompts."""
    data = defaults()
    lists = {"concepts": draw(st.integers(0, 2)), "sampling.prompts": draw(st.integers(0, 2))}
    for info in draw(st.lists(st.sampled_from(SETTINGS), max_size=12, unique_by=lambda i: i.path)):
        head, marked, rest = info.path.partition("[].")
        if not marked:
            data = set_path(data, info.path, draw(values(info)))
            continue
        for index in range(lists[head]):
            data = set_path(data, f"{head}.{index}.{rest}", draw(values(info)))
    return data


UNKNOWN = st.dictionaries(
    TEXT.filter(lambda k: k and k not in Job.model_fields),
    st.none() | st.integers(-99, 99) | TEXT | st.lists(TEXT, max_size=2),
    max_size=3,
)


@given(data=full_data(), unknown=UNKNOWN)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_what_is_saved_is_loaded(tmp_path: Path, data: dict[str, Any], unknown: Any) -> None:
    path = tmp_path / "mine.json"
    save_preset(path, data, unknown)
    loaded = load_preset(path)
    assert loaded.data == data
    assert loaded.unknown == unknown
    assert {p.setting for p in loaded.problems} == set(unknown)
    before = path.read_bytes()
    save_preset(path, loaded.data, loaded.unknown)
    assert path.read_bytes() == before


@given(data=full_data(), base=full_data())
@settings(max_examples=60)
def test_the_difference_is_exact(data: dict[str, Any], base: dict[str, Any]) -> None:
    found = diff(data, base)
    assert (not found) == (data == base)
    lengths = {p: len(get_path(data, p)) for p in ("concepts", "sampling.prompts")}
    rebuilt = base
    for path, value in found.items():
        if value is not None or path.rpartition(".")[0] not in lengths:
            head = path.rpartition(".")[0]
            if head in lengths and path.rpartition(".")[2].isdigit():
                get_path(rebuilt, head).append(value)
            else:
                rebuilt = set_path(rebuilt, path, value)
    for path, length in lengths.items():
        rebuilt = set_path(rebuilt, path, get_path(rebuilt, path)[:length])
    assert rebuilt == data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Job.model_fields, "rank", "ema", "path", "prompts", "every", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(raw=st.dictionaries(st.sampled_from([*Job.model_fields, "x"]), JSON, max_size=6))
@settings(max_examples=150)
def test_whatever_a_file_holds_becomes_valid_data(raw: dict[str, Any]) -> None:
    raw.pop("limner", None)
    data, _, _ = over_defaults(raw)
    assert Job.model_validate(data).model_dump() == data


def test_a_preset_holds_only_the_difference(tmp_path: Path) -> None:
    data = set_path(defaults(), "lora.rank", 8)
    data = set_path(data, "concepts.0.path", "pictures")
    data = set_path(data, "sampling.prompts.0.prompt", "a cat")
    path = tmp_path / "a.json"
    save_preset(path, data)
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "limner": 1,
        "lora": {"rank": 8},
        "concepts": [{"path": "pictures"}],
        "sampling": {"prompts": [{"prompt": "a cat"}]},
    }


def test_unknown_keys_are_kept_where_they_were(tmp_path: Path) -> None:
    written = {
        "limner": 1,
        "concepts": [{}, {"path": "b", "future": {"deep": [1]}}],
        "training": {"ema": {"power": 2}},
        "other": "x",
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(written), encoding="utf-8")
    loaded = load_preset(path)
    assert sorted(p.setting for p in loaded.problems) == [
        "concepts.1.future",
        "other",
        "training.ema.power",
    ]
    assert all(p.severity == "warning" for p in loaded.problems)
    save_preset(path, loaded.data, loaded.unknown)
    assert json.loads(path.read_text(encoding="utf-8")) == written


def test_wrong_values_are_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = {
        "limner": 1,
        "lora": {"rank": "many", "alpha": 3},
        "training": {"epochs": 0, "ema": 5, "batch_size": 7},
        "concepts": ["oops", {"path": "p", "repeats": -1}],
        "sampling": {"prompts": {}},
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    before = path.read_bytes()
    loaded = load_preset(path)
    told = {p.setting for p in loaded.problems if p.severity == "error"}
    assert told == {
        "lora.rank",
        "training.epochs",
        "training.ema",
        "concepts.0",
        "concepts.0.repeats",
        "sampling.prompts",
    }
    assert all(p.file == str(path) for p in loaded.problems)
    assert loaded.data["lora"]["alpha"] == 3
    assert loaded.data["lora"]["rank"] == 16
    assert loaded.data["training"]["batch_size"] == 7
    assert [c["path"] for c in loaded.data["concepts"]] == ["p"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "preset_broken"),
        (b"\xff\xfe\x00", "preset_broken"),
        (b"[1]", "preset_broken"),
        (b"[" * 100_000, "preset_broken"),
        (b'{"limner": 99}', "preset_newer"),
        (b'{"limner": "one"}', "preset_version_invalid"),
        (b'{"limner": true}', "preset_version_invalid"),
        (b'{"a": 1}', "preset_foreign"),
    ],
)
def test_a_bad_file_is_named_and_left_alone(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_preset(path)
    assert caught.value.problem.code == code
    assert str(path) in caught.value.problem.title
    assert caught.value.problem.file == str(path)
    assert path.read_bytes() == content


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.json"):
        load_preset(tmp_path / "nothing.json")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"limner": 1, "name": "\xc3\xa9"}')
    assert load_preset(path).data["name"] == "é"


def test_old_versions_are_migrated_step_by_step() -> None:
    def second(data: dict[str, Any]) -> dict[str, Any]:
        title = data.pop("title")
        return {**data, "name": f"{title}!"}

    def third(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "name": data["name"] * 2}

    old = {"limner": 1, "title": "a"}
    migrated = migrate(old, "file", {1: second, 2: third}, newest=3)
    assert migrated == {"limner": 3, "name": "a!a!"}
    assert old == {"limner": 1, "title": "a"}
    assert migrate({"limner": 2, "name": "b"}, "file", {1: second, 2: third}, newest=3) == {
        "limner": 3,
        "name": "bb",
    }
    with pytest.raises(UserError, match="newer"):
        migrate({"limner": 4}, "file", {}, newest=3)


def test_built_in_presets_are_right() -> None:
    found = {info.name: info for info in list_presets() if info.builtin}
    assert {"# demo", "# sd 1.5 lora", "# sd 1.5 lora prodigy"} <= set(found)
    assert {"# sdxl 1.0 lora", "# sdxl lora prodigy", "# sdxl v-prediction lora"} <= set(found)
    assert found["# kolors lora"].family == "kolors"
    assert found["# demo"].family == "demo"
    assert found["# sdxl 1.0 lora"].family == "sdxl"
    for info in found.values():
        loaded = load_preset(info.path)
        assert loaded.problems == ()
        # Only what a user has to choose may be missing.
        codes = {p.code for p in validate(loaded.data)[1]}
        assert codes <= {"no_concepts", "base_missing"}
        written = json.loads(info.path.read_text(encoding="utf-8"))
        assert written == minimal(loaded.data), "it holds more than the difference"
        assert any(spec["prompt"] for spec in loaded.data["sampling"]["prompts"])


def test_the_prodigy_preset_follows_its_authors_advice() -> None:
    training = load_preset(find_preset("# sd 1.5 lora prodigy").path).data["training"]
    assert (training["optimizer"], training["learning_rate"]) == ("prodigy", 1.0)
    assert (training["beta1"], training["beta2"], training["weight_decay"]) == (0.9, 0.99, 0.01)
    assert training["prodigy"]["safeguard_warmup"]
    assert training["prodigy"]["use_bias_correction"]
    assert training["prodigy"]["d_coef"] == 1.0
    assert training["scheduler"] == "cosine"
    assert training["max_grad_norm"] is None


def test_the_kolors_preset_is_that_of_the_tutorial() -> None:
    data = load_preset(find_preset("# kolors lora").path).data
    assert (data["lora"]["rank"], data["lora"]["alpha"]) == (16, 4.0)
    training, (concept,) = data["training"], data["concepts"]
    assert (training["precision"], training["epochs"]) == ("float16", 1)
    assert (training["resolution"], training["learning_rate"]) == (1024, 1e-4)
    assert training["gradient_checkpointing"]
    assert concept["path"].endswith("train") and concept["prompt"]["source"] == "metadata"
    assert concept["image"]["crop_jitter"] == 0


def test_the_demo_preset_refers_to_what_comes_with_the_program(tmp_path: Path) -> None:
    preset = load_preset(find_preset("# demo").path)
    resolved = resolve_paths(preset.data, tmp_path)
    assert Path(resolved["model"]["base"]) == resources_dir() / "demo_model"
    assert Path(resolved["concepts"][0]["path"]) == resources_dir() / "demo_dataset"
    job, problems = validate(resolved)
    assert job is not None, problems
    assert preset.data["model"]["base"].startswith("{resources}")


@pytest.mark.parametrize("name", ["# demo", "#demo", "demo", " DEMO "])
def test_presets_are_found_by_name(name: str) -> None:
    assert find_preset(name).name == "# demo"


def test_the_users_own_preset_of_a_name_comes_first() -> None:
    save_preset(preset_path("demo"), defaults())
    assert not find_preset("demo").builtin
    assert find_preset("# demo").builtin


def test_an_unknown_name_proposes_the_nearest() -> None:
    with pytest.raises(UserError, match="# demo"):
        find_preset("demmo")


def test_relative_paths_belong_to_the_presets_folder(tmp_path: Path) -> None:
    data = set_path(defaults(), "concepts.0.path", "pictures")
    data = set_path(data, "concepts.1.path", str(tmp_path / "there"))
    data = set_path(data, "concepts.1.prompt.file", "../captions.txt")
    data = set_path(data, "model.base", "models/base.safetensors")
    data = set_path(data, "model.output", "~/out.safetensors")
    folder = tmp_path / "presets"
    resolved = resolve_paths(data, folder)
    assert resolved["concepts"][0]["path"] == str(folder / "pictures")
    assert resolved["concepts"][1]["path"] == str(tmp_path / "there")
    assert resolved["concepts"][1]["prompt"]["file"] == str(tmp_path / "captions.txt")
    assert resolved["model"]["base"] == str(folder / "models" / "base.safetensors")
    assert resolved["model"]["output"] == str(Path.home() / "out.safetensors")
    assert resolved["model"]["vae"] == ""
    assert data["concepts"][0]["path"] == "pictures"


def test_a_hub_name_is_no_path_unless_there_is_such_a_folder(tmp_path: Path) -> None:
    data = set_path(defaults(), "model.base", "somebody/some-model")
    assert resolve_paths(data, tmp_path)["model"]["base"] == "somebody/some-model"
    (tmp_path / "somebody" / "some-model").mkdir(parents=True)
    expected = str(tmp_path / "somebody" / "some-model")
    assert resolve_paths(data, tmp_path)["model"]["base"] == expected


@pytest.mark.parametrize("name", ["mein Stil", "画风", "été", "a.b", "x" * 200, "Ж" * 100, "con2"])
def test_names_of_all_scripts_are_allowed(name: str) -> None:
    save_preset(preset_path(name), defaults())
    assert name in [info.name for info in list_presets()]


@pytest.mark.parametrize(
    "name",
    [
        *("", "  ", "# mine", ".x", "x."),
        *("a/b", "a\\b", 'a"b', "a:b", "a\nb", "half \ud83d emoji"),
        *("CON", "nul.txt", "com1"),
        *("x" * 201, "Ж" * 101),
    ],
)
def test_names_that_some_system_refuses_are_refused(name: str) -> None:
    with pytest.raises(UserError) as caught:
        valid_name(name)
    assert caught.value.problem.code == "preset_name_invalid"
    str(caught.value).encode("utf-8")


def test_the_same_name_in_two_unicode_forms_is_one() -> None:
    assert valid_name("e\u0301te") == valid_name("\u00e9te")


def test_rename_duplicate_and_clashes() -> None:
    save_preset(preset_path("first"), set_path(defaults(), "name", "1"))
    save_preset(preset_path("second"), set_path(defaults(), "name", "2"))
    renamed = rename_preset(preset_path("first"), "third")
    assert load_preset(renamed).data["name"] == "1"
    assert not preset_path("first").exists()
    with pytest.raises(UserError) as caught:
        rename_preset(renamed, "SECOND")
    assert caught.value.problem.code == "preset_exists"
    assert load_preset(preset_path("second")).data["name"] == "2"
    copy = duplicate_preset(find_preset("# demo").path, "my demo")
    assert load_preset(copy).data == load_preset(find_preset("# demo").path).data
    with pytest.raises(UserError):
        duplicate_preset(copy, "my demo")
    assert rename_preset(copy, "My Demo").name == "My Demo.json"


def test_built_in_presets_cannot_be_changed() -> None:
    demo = find_preset("# demo").path
    before = demo.read_bytes()
    for attempt in (
        lambda: save_preset(demo, defaults()),
        lambda: rename_preset(demo, "x"),
        lambda: delete_preset(demo),
        lambda: export_preset(builtin_presets_dir() / "x.json", defaults()),
    ):
        with pytest.raises(UserError) as caught:
            attempt()
        assert caught.value.problem.code == "preset_readonly"
    assert demo.read_bytes() == before


def test_delete_keeps_the_file_somewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import send2trash

    def no_trash(_path: object) -> None:
        raise OSError("no trash here")

    monkeypatch.setattr(send2trash, "send2trash", no_trash)
    for content in ("one", "two"):
        path = preset_path("mine")
        save_preset(path, set_path(defaults(), "name", content))
        kept = delete_preset(path)
        assert kept is not None
        assert kept.parent == user_presets_dir() / "_deleted"
        assert load_preset(kept).data["name"] == content
        assert not path.exists()
    assert len(list((user_presets_dir() / "_deleted").iterdir())) == 2
    assert "mine" not in [info.name for info in list_presets()]


def test_delete_uses_the_systems_trash(monkeypatch: pytest.MonkeyPatch) -> None:
    import send2trash

    trashed: list[Path] = []

    def trash(path: Path) -> None:
        trashed.append(Path(path))
        Path(path).unlink()

    monkeypatch.setattr(send2trash, "send2trash", trash)
    path = preset_path("mine")
    save_preset(path, defaults())
    assert delete_preset(path) is None
    assert trashed == [path]


def test_import_and_export(tmp_path: Path) -> None:
    source = tmp_path / "# from elsewhere.json"
    save_preset(source, set_path(defaults(), "name", "x"))
    first, second = import_preset(source), import_preset(source)
    assert (first.stem, second.stem) == ("from elsewhere", "from elsewhere 2")
    assert first.read_bytes() == source.read_bytes()
    shown = set_path(load_preset(first).data, "lora.rank", 48)
    target = export_preset(tmp_path / "given away", shown)
    assert target.name == "given away.json"
    assert load_preset(target).data == shown
    assert load_preset(first).data["lora"]["rank"] == 16
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    with pytest.raises(UserError):
        import_preset(broken)
    assert "broken" not in [info.name for info in list_presets()]


def test_a_failed_save_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    path = preset_path("mine")
    save_preset(path, set_path(defaults(), "name", "good"))

    def refuse(*_arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("core.files.os.replace", refuse)
    with pytest.raises(UserError) as caught:
        save_preset(path, set_path(defaults(), "name", "lost"))
    assert caught.value.problem.code == "preset_unwritable"
    assert load_preset(path).data["name"] == "good"
    assert [p.name for p in path.parent.iterdir()] == ["mine.json"]


def test_half_an_emoji_is_saved_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_preset(path, set_path(defaults(), "name", "half \ud83d"))
    assert path.read_bytes().isascii()
    assert [p.setting for p in load_preset(path).problems] == ["name"]


def test_a_damaged_preset_does_not_hide_the_others() -> None:
    save_preset(preset_path("good"), defaults())
    (user_presets_dir() / "bad.json").write_text("{", encoding="utf-8")
    names = [info.name for info in presets.list_presets() if not info.builtin]
    assert names == ["bad", "good"]


def test_concepts_beyond_any_use_are_refused_without_building_them(tmp_path: Path) -> None:
    path = tmp_path / "many.json"
    path.write_text(json.dumps({"limner": 1, "concepts": [{"path": "a"}] * 1001}))
    loaded = load_preset(path)
    assert [(p.code, p.setting) for p in loaded.problems] == [("too_many_items", "concepts")]
    assert len(loaded.data["concepts"]) == 1000
    _, problems = validate({**loaded.data, "concepts": [{"path": "a"}] * 1001})
    assert [p.setting for p in problems] == ["concepts"] and len(problems[0].title) < 300


@pytest.mark.parametrize("depth", [70, 900, 100_000])
def test_a_preset_nested_deeply_is_one_sentence(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "deep.json"
    path.write_text('{"limner": 1, "new": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(UserError, match="nested too deeply"):
        load_preset(path)
