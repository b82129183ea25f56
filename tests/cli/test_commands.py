"""Commands that train nothing: what they print, and with which exit code."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core import cli
from core.cli.job import apply_sets
from core.cli.text import problem_text
from core.config.job import SETTINGS, defaults, set_path
from core.config.presets import load_preset, preset_path, save_preset
from core.errors import Problem
from core.paths import builtin_presets_dir

Out = pytest.CaptureFixture[str]


def call(*arguments: str) -> int:
    return cli.main(list(arguments))


def test_help_names_every_command_and_loads_nothing_heavy(environment: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "from core.cli import main\n"
        "code = main(['--help'])\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'PIL', 'PySide6', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 0
    assert finished.stderr.strip() == "[]"
    for name in ("train", "resume", "check", "demo", "presets", "lora", "runs"):
        assert name in finished.stdout


@pytest.mark.parametrize(
    "arguments",
    [["bogus"], ["train"], ["check"], ["train", "demo", "--bogus"], ["lora", "info"], ["presets"]],
)
def test_wrong_arguments_give_2(arguments: list[str], capsys: Out) -> None:
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "no such preset"], "There is no preset named"),
        (["train", "demmo"], "# demo"),
        (["check", "missing.json"], "missing.json"),
        (["check", "folder/none"], "neither a preset's name nor a preset file"),
        (["check", "x" * 5000], "There is no preset named"),
        (["check", "folder/" + "x" * 5000], "neither a preset's name nor a preset file"),
        (["check", "demo", "--set", f"model.base={'x' * 5000}"], "model.base"),
        (["check", "demo", "--set", "model.base=~nobody-here/x"], "model.base"),
        (["check", "demo", "--set", "concepts.0.path=~nobody-here/x"], "concepts.0.path"),
        (["check", "demo", "--set", "model.output=~nobody-here/x"], "model.output"),
        (["resume", "nowhere"], "is not a run's folder"),
        (["lora", "info", "nowhere.safetensors"], "does not exist"),
        (["presets", "show", "nothing.json"], "There is no file"),
        (["train", "demo", "--set", "foo"], "has no value"),
        (["train", "demo", "--set", "training.learnin_rate=1"], "training.learning_rate"),
        (["train", "demo", "--set", "concepts.9.path=x"], "concepts.9.path"),
        (["train", "demo", "--set", "lora.rank=many"], "lora.rank"),
        (["train", "demo", "--set", "rank=3"], "lora.rank"),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments: list[str], words: str, capsys: Out) -> None:
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert words in out + err
    assert "Traceback" not in out + err


def test_all_mistakes_are_told_at_once(capsys: Out) -> None:
    sets = ["lora.rank=0", "training.epochs=x", "nonsense.path=1", "model.output=out.txt"]
    assert call("train", "demo", *(part for s in sets for part in ("--set", s))) == 2
    err = capsys.readouterr().err
    for words in ("lora.rank", "training.epochs", "nonsense.path"):
        assert words in err


def test_broken_presets_are_named(tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"limner": 1,,}', encoding="utf-8")
    assert call("train", str(path)) == 2
    err = capsys.readouterr().err
    assert str(path) in err
    assert "line 1, column 14" in err


def test_a_wrong_value_in_a_preset_is_not_trained_with_another(
    tmp_path: Path, settings: list[str], capsys: Out
) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"limner": 1, "concepts": [{}], "lora": {"rank": 0}}', encoding="utf-8")
    pairs = zip(settings[::2], settings[1::2], strict=True)
    others = [part for pair in pairs if "lora.rank" not in pair[1] for part in pair]
    assert call("check", str(path), *others) == 2
    assert "lora.rank" in capsys.readouterr().err
    assert call("check", str(path), *settings) == 0


def test_check_says_what_would_be_trained(settings: list[str], pictures: Path, capsys: Out) -> None:
    assert call("check", "demo", *settings) == 0
    out, err = capsys.readouterr()
    assert "64x64" in out
    assert "Steps       4 " in out
    assert "Time        not known yet; the first such run measures it" in out
    assert "Can be trained; 1 warning." in out
    assert "1 of 5 pictures" in err
    assert call("check", "demo", *settings, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert report["plan"]["concepts"][0]["pictures"] == 5
    assert report["plan"]["total_steps"] == 4
    assert sum(report["plan"]["buckets"].values()) == 5
    assert report["base"]["family"] == "sd15"
    assert report["disk"]["total"] > report["disk"]["lora"] > 0
    assert [p["code"] for p in report["problems"]] == ["captions_missing"]


def test_checks_table_cuts_no_word_off(
    settings: list[str], pictures: Path, tmp_path: Path, capsys: Out
) -> None:
    folder = tmp_path / "one very long name of a folder"
    folder.mkdir()
    drawn = (pictures / "1.png").read_bytes()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(drawn)
    (folder / "a.txt").write_text("word " * 90)
    (folder / "broken.png").write_bytes(b"junk")
    kinds = ["--set", "concepts.1.enabled=true", "--set", "concepts.1.kind=validation"]
    more = [*kinds, "--set", f"concepts.1.path={folder}", "--set", "training.resolution=128"]
    assert call("check", "demo", *settings, *more) == 0
    table = capsys.readouterr().out
    assert "…" not in table
    for word in ("pictures", "skipped", "caption", "tokens", "enlarged", "epoch", "validation"):
        assert word in table


def test_check_lists_all_problems(settings: list[str], tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "empty").mkdir()
    page = tmp_path / "model.safetensors"
    page.write_text("<!DOCTYPE html><html></html>", encoding="utf-8")
    bad = ["--set", f"model.base={page}", "--set", f"concepts.0.path={tmp_path / 'empty'}"]
    assert call("check", "demo", *settings, *bad, "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert not report["ok"]
    codes = {p["code"]: p["setting"] for p in report["problems"] if p["severity"] == "error"}
    assert codes["base_html"] == "model.base"
    assert len(codes) == 2


def test_check_loads_nothing_heavy(settings: list[str], environment: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "from core.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))\n"
        "sys.exit(code)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, "check", "demo", *settings],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "[]"


def test_the_lora_size_that_check_tells_is_that_of_the_file(
    settings: list[str], base_model: Path, capsys: Out
) -> None:
    from core.config.job import require
    from core.families.base import Loading
    from core.families.detect import detect
    from core.families.layers import lora_weights
    from core.families.registry import family
    from core.lora.targets import targets_of

    torch = pytest.importorskip("torch")
    model = family("sd15").load(
        detect(str(base_model)),
        Loading(
            vae=None,
            dtype=torch.float32,
            device=torch.device("cpu"),
            clip_skip=0,
            prediction_type="epsilon",
            zero_terminal_snr=False,
        ),
    )
    for targets in ("attention", "attention_ff", "all"):
        for encoder in (True, False):
            data = set_path(load_preset(Path(DEMO)).data, "lora.targets", targets)
            data = set_path(data, "lora.text_encoder", encoder)
            job = require(data)
            expected = 0
            for component, names in targets_of(model, job.lora).items():
                for name in names:
                    shape = model.parts[component].get_submodule(name).weight.shape
                    expected += job.lora.rank * (shape[0] + shape[1:].numel())
            assert lora_weights(job.lora, detect(str(base_model))) == expected


DEMO = builtin_presets_dir() / "demo" / "#demo.json"


def test_relative_paths_on_the_command_line_belong_to_the_current_folder(
    settings: list[str], pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.chdir(pictures.parent)
    relative = ["--set", f"concepts.0.path={pictures.name}", "--set", "model.output=x.safetensors"]
    assert call("check", "demo", *settings, *relative) == 0


def test_groups_can_be_set_as_json(settings: list[str], capsys: Out) -> None:
    from core.cli.job import build_job

    sets = [part for part in settings if part != "--set"]
    prompts = '[{"prompt": "a cat"}, {"prompt": "a dog", "seed": 5}]'
    built = build_job("demo", [*sets, f"sampling.prompts={prompts}", 'training.ema={"decay": 0.5}'])
    assert [(s.prompt, s.seed, s.steps) for s in built.job.sampling.prompts] == [
        ("a cat", 1, 25),
        ("a dog", 5, 25),
    ]
    assert (built.job.training.ema.decay, built.job.training.ema.enabled) == (0.5, False)
    brackets = build_job("demo", [*sets, "concepts[0].repeats=2,5"])
    assert brackets.job.concepts[0].repeats == 2.5


def test_presets_are_listed_and_shown(capsys: Out) -> None:
    save_preset(preset_path("mein Stil"), set_path(defaults(), "lora.rank", 3))
    assert call("presets", "list") == 0
    out = capsys.readouterr().out
    assert "# demo" in out
    assert "mein Stil" in out
    assert call("presets", "list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [p["name"] for p in listed if not p["builtin"]] == ["mein Stil"]
    assert call("presets", "show", "mein Stil") == 0
    assert capsys.readouterr().out == "lora.rank = 3\n"
    assert call("presets", "show", "mein Stil", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"limner": 1, "lora": {"rank": 3}}
    assert call("presets", "show", "mein Stil", "--full") == 0
    assert "training.epochs = 50" in capsys.readouterr().out


def test_the_schema_names_every_setting_that_does_something(capsys: Out) -> None:
    assert call("presets", "schema") == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split("  (")[0] for line in lines if not line.startswith(" ")]
    assert heads == [info.path for info in SETTINGS if info.ready]
    assert call("presets", "schema", "--json") == 0
    assert json.loads(capsys.readouterr().out)["properties"]["lora"]


def lora_file(path: Path, truncate: int = 0) -> Path:
    tensors: dict[str, Any] = {}
    data = b""
    for name, shape in (
        ("lora_unet_a.lora_down.weight", [4, 8]),
        ("lora_unet_a.lora_up.weight", [8, 4]),
        ("lora_unet_a.alpha", []),
        ("lora_te_b.lora_down.weight", [4, 8]),
        ("lora_te_b.lora_up.weight", [8, 4]),
        ("lora_te_b.alpha", []),
    ):
        count = 1
        for side in shape:
            count *= side
        raw = struct.pack(f"<{count}f", *[2.0] * count)
        tensors[name] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    tensors["__metadata__"] = {"modelspec.title": "robot"}
    header = json.dumps(tensors).encode()
    whole = len(header).to_bytes(8, "little") + header + data
    path.write_bytes(whole[: len(whole) - truncate])
    return path


def test_lora_info_tells_what_the_header_says(tmp_path: Path, capsys: Out) -> None:
    path = lora_file(tmp_path / "a.safetensors")
    assert call("lora", "info", str(path), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["modules"] == {"lora_te": 1, "lora_unet": 1}
    assert (facts["ranks"], facts["alphas"]) == ({"4": 2}, {"2": 2})
    assert facts["dtypes"] == ["F32"]
    assert facts["metadata"]["modelspec.title"] == "robot"
    assert call("lora", "info", str(path)) == 0
    out = capsys.readouterr().out
    assert "rank      4" in out
    assert "1 lora_unet" in out


@pytest.mark.parametrize("truncate", [1, 100, 2000])
def test_a_broken_lora_is_told_in_a_sentence(tmp_path: Path, truncate: int, capsys: Out) -> None:
    path = lora_file(tmp_path / "a.safetensors", truncate)
    assert call("lora", "info", str(path)) == 2
    err = capsys.readouterr().err.strip()
    assert str(path) in err or path.name in err
    assert len(err.splitlines()) == 1


def test_runs_are_listed(tmp_path: Path, capsys: Out) -> None:
    from core.config.job import require
    from core.runs.folder import create

    assert call("runs", "list", "--runs", str(tmp_path / "none")) == 0
    assert "no runs" in capsys.readouterr().out
    data = set_path(set_path(defaults(), "model.base", "b"), "concepts.0.path", "p")
    create(require(set_path(data, "name", "[bold]x")), tmp_path / "runs")
    assert call("runs", "list", "--runs", str(tmp_path / "runs")) == 0
    assert "-bold-x" in capsys.readouterr().out.replace("[", "-").replace("]", "-")
    assert call("runs", "list", "--runs", str(tmp_path / "runs"), "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


EVIL = "\x1b]0;owned\x07\x1b[2J\x9b2J\r\u202egnp"


def lora_with(path: Path, metadata: dict[str, str]) -> Path:
    entry = {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}
    header = json.dumps({"__metadata__": metadata, "k.lora_down.weight": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    return path


def controls(text: str) -> set[str]:
    return {c for c in text if c in EVIL and not c.isprintable()}


def test_no_text_from_a_file_reaches_the_terminal_as_a_command(tmp_path: Path, capsys: Out) -> None:
    lora = lora_with(tmp_path / "lora.safetensors", {"title": f"{EVIL}\nerror: not ours"})
    assert call("lora", "info", str(lora)) == 0
    out, err = capsys.readouterr()
    assert not controls(out + err)
    assert "title = \\u001b]0;owned\\u0007" in out and "\nerror: not ours" not in out
    assert call("lora", "info", str(lora), "--json") == 0
    out, err = capsys.readouterr()
    assert not controls(out + err)
    assert json.loads(out)["metadata"]["title"] == f"{EVIL}\nerror: not ours"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_no_name_of_a_file_reaches_the_terminal_as_a_command(tmp_path: Path, capsys: Out) -> None:
    folder = tmp_path / f"a{EVIL}"
    folder.mkdir()
    (folder / f"b{EVIL}\nerror: not ours.png").write_bytes(b"no picture")
    for arguments in (("check", str(folder)), ("lora", "info", str(folder / f"{EVIL}"))):
        assert call(*arguments) == 2
        out, err = capsys.readouterr()
        assert not controls(out + err), arguments
        assert "\nerror: not ours" not in out + err


def test_wrong_arguments_are_not_shown_as_commands_either(capsys: Out) -> None:
    allowed = {"\u202e"}  # typer shows what was typed, and leaves the direction of writing
    for arguments in (("lora", "info", "a", EVIL), ("check", "a", f"--{EVIL}"), (EVIL,)):
        assert call(*arguments) == 2
        out, err = capsys.readouterr()
        assert not controls(out + err) - allowed, arguments


@pytest.mark.skipif(sys.platform == "win32", reason="Windows says so in other ways")
@pytest.mark.parametrize(
    "arguments", [("undo",), ("runs", "list", "--runs"), ("tags",), ("lora", "info"), ("check",)]
)
def test_paths_without_end_are_one_short_sentence(arguments: tuple[str, ...], capsys: Out) -> None:
    for name in ("x" * 256, "x" * 100_000):
        assert call(*arguments, name) in (1, 2)
        out, err = capsys.readouterr()
        assert "Traceback" not in err and len(out + err) < 1500
        assert err.startswith("error: ")


def test_the_queue_from_the_command_line(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        more = ["--set", f"name={name}", "--no-start", "--runs", str(tmp_path / "runs")]
        assert call(*["queue", "add", "# demo", *settings, *more]) == 0
    capsys.readouterr()
    assert call(*["queue", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["state"] for entry in listed] == ["waiting", "waiting"]
    assert [entry["run"].rsplit("-", 1)[-1] for entry in listed] == ["one", "two"]
    assert call(*["queue", "move", "2", "1"]) == 0
    assert call(*["queue", "remove", "2"]) == 0
    assert call(*["queue", "remove", "7"]) != 0
    capsys.readouterr()
    assert call(*["queue", "list"]) == 0
    shown = capsys.readouterr().out
    assert "two" in shown and "one" not in shown and "limner queue run" in shown


def test_a_whole_concept_can_be_appended() -> None:
    data = set_path(defaults(), "concepts.0.path", "a")
    sets = ['concepts.1={"path": "p", "kind": "prior"}', "concepts[2]={}", "concepts.2.path=b"]
    data, _, problems = apply_sets(data, sets)
    assert problems == []
    assert [concept["kind"] for concept in data["concepts"]] == ["train", "prior", "train"]
    assert data["concepts"][2]["path"].endswith("b")
    _, _, problems = apply_sets(defaults(), ["concepts.5={}"])
    assert [problem.code for problem in problems] == ["setting_unknown"]


def test_a_warning_shows_the_first_of_a_long_list_of_files_and_an_error_all() -> None:
    detail = "\n".join(f"{number}.cr2" for number in range(14))
    warning = Problem(code="x", title="14 files are left out.", severity="warning", detail=detail)
    shown = problem_text(warning).plain.splitlines()
    assert shown[1:] == [*detail.splitlines()[:10], "and 4 more, which --json names"]
    assert problem_text(replace(warning, severity="error")).plain.endswith(detail)
