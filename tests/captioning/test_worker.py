"""The captioning worker as a process: captions, cancelling, dying, bad input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.captioning import messages
from core.captioning.client import CaptionWorker
from core.captioning.job import Progress, plan_captions, run_captions
from core.captioning.options import CaptionOptions
from core.captioning.tags import Change
from core.errors import Problem, UserError
from core.worker.lineprocess import worker_environment
from tests.captioning.makers import MakeTagger

SCRIPT = Path(__file__).with_name("models.py")
SURE = "hatsune miku, 1girl, long hair"


def scripted(name: str) -> list[str]:
    """The command line of a worker whose model is a scripted one."""
    return [sys.executable, str(SCRIPT), name]


def collect(
    pictures: list[Path], options: CaptionOptions, command: list[str] | None = None, **more: Any
) -> tuple[dict[str, str], list[Problem], list[Progress], Any]:
    """Caption `pictures`; gives captions by name, warnings, progress and how it ended."""
    captions: dict[str, str] = {}
    problems: list[Problem] = []
    progress: list[Progress] = []

    def take(told: object) -> None:
        match told:
            case Change():
                captions[told.picture.name] = told.after
            case Problem():
                problems.append(told)
            case Progress():
                progress.append(told)

    plan = plan_captions(pictures, options)
    ended = run_captions(plan, options, take, command=command, **more)
    return captions, problems, progress, ended


def tagged(folder: Path, **more: Any) -> CaptionOptions:
    return CaptionOptions(tagger=str(folder), device="cpu", **more)


def test_a_folder_is_tagged(sure_tagger: Path, pictures: list[Path]):
    before = {path: path.read_bytes() for path in pictures[0].parent.iterdir()}
    captions, problems, progress, ended = collect(pictures, tagged(sure_tagger, trigger="mika"))
    expected = f"mika, {SURE}"
    assert captions == {f"bild {n}.png": expected for n in (0, 2, 3)}
    assert problems == [] and ended.status == "finished" and ended.problems == ()
    assert [p.phase for p in progress[:3]] == ["starting", "loading", "captioning"]
    assert progress[-1].done == progress[-1].total == 3
    assert {path: path.read_bytes() for path in pictures[0].parent.iterdir()} == before


def test_what_cannot_be_read_costs_that_file_only(sure_tagger: Path, pictures: list[Path]):
    pictures[0].write_bytes(pictures[0].read_bytes()[:40])
    pictures[2].write_bytes(b"<!doctype html><p>not found")
    captions, problems, _, ended = collect(pictures, tagged(sure_tagger, mode="overwrite", batch=3))
    assert captions == {"bild 1.png": SURE, "bild 3.png": SURE}
    assert ended.status == "finished"
    assert [p.code for p in problems] == ["picture_unreadable"] * 2
    assert "bild 2.png was not captioned: The file is a web page" in problems[1].title


def test_a_picture_that_vanishes_is_told(sure_tagger: Path, pictures: list[Path]):
    options = tagged(sure_tagger)
    plan = plan_captions(pictures, options)
    pictures[3].unlink()
    told: list[object] = []
    assert run_captions(plan, options, told.append).status == "finished"
    (problem,) = [one for one in told if isinstance(one, Problem)]
    assert problem.title == "bild 3.png was not captioned: The file is not there any more."


@pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes only there")
def test_names_that_are_no_unicode_are_captioned(sure_tagger: Path, tmp_path: Path):
    path = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.png"))
    Image.new("RGB", (9, 9)).save(path)
    captions, _, _, _ = collect([path], tagged(sure_tagger))
    assert captions == {path.name: SURE}


def test_a_wrong_tag_list_ends_the_work_with_its_reason(make_tagger: MakeTagger, pictures):
    folder = make_tagger(tags="tag_id,name,category,count\n0,one,0,1\n")
    captions, _, _, ended = collect(pictures, tagged(folder))
    assert captions == {} and ended.status == "failed"
    assert [p.code for p in ended.problems] == ["tagger_mismatch"]


def test_a_folder_that_is_no_tagger_is_told(tmp_path: Path, pictures: list[Path]):
    _, _, _, ended = collect(pictures, tagged(tmp_path))
    assert ended.problems[0].setting == "tagger"
    assert "holds no model.onnx" in ended.problems[0].title


def test_names_are_looked_for_in_the_cache_only(pictures: list[Path], no_network: list[str]):
    _, _, _, ended = collect(pictures, CaptionOptions(tagger="SmilingWolf/wd-vit-tagger-v3"))
    assert "neither a folder nor in the Hugging Face cache" in ended.problems[0].title


def test_a_tagger_in_the_cache_is_found_by_name(sure_tagger, pictures, monkeypatch, tmp_path):
    commit = "0" * 40
    repo = tmp_path / "hub" / "models--owner--tagger"
    snapshot = repo / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    sure_tagger.rename(snapshot)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    captions, _, _, ended = collect(pictures, CaptionOptions(tagger="owner/tagger"))
    assert ended.status == "finished" and captions["bild 0.png"] == SURE


def test_a_download_happens_only_when_asked_for(sure_tagger: Path, monkeypatch):
    import huggingface_hub

    from core.captioning.models import tagger_folder

    asked: list[tuple[str, list[str]]] = []

    def fetch(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(sure_tagger)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    with pytest.raises(UserError, match="or allow the download"):
        tagger_folder("owner/tagger")
    assert asked == []
    assert tagger_folder("owner/tagger", download=True) == sure_tagger
    assert asked[0][0] == "owner/tagger" and "model.onnx" in asked[0][1]
    assert not any(pattern.endswith((".py", ".bin", ".pkl", "*")) for pattern in asked[0][1])


def test_a_download_that_fails_is_told(monkeypatch):
    import huggingface_hub

    from core.captioning.models import captioner_folder

    def fetch(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    with pytest.raises(UserError) as error:
        captioner_folder("owner/blip", download=True)
    assert error.value.problem.code == "model_download_failed"
    assert error.value.problem.setting == "captioner"


def test_a_file_in_the_folder_stands_for_the_folder(sure_tagger: Path):
    from core.captioning.models import tagger_folder

    assert tagger_folder(str(sure_tagger / "model.onnx")) == sure_tagger


def test_stopping_keeps_what_is_done(pictures: list[Path]):
    done: list[str] = []
    plan = plan_captions(pictures, options := CaptionOptions(tagger="x", mode="overwrite"))

    def take(told: object) -> None:
        if isinstance(told, Change):
            done.append(told.after)

    ended = run_captions(plan, options, take, lambda: bool(done), command=scripted("slow"))
    assert ended.status == "stopped" and 1 <= len(done) < 4
    assert done[0] == "picture 0"


def test_stopping_while_a_model_hangs_ends_in_time(pictures: list[Path]):
    plan = plan_captions(pictures, options := CaptionOptions(tagger="x"))
    phases: list[str] = []

    def take(told: object) -> None:
        if isinstance(told, Progress):
            phases.append(told.phase)

    ended = run_captions(plan, options, take, lambda: "loading" in phases, command=scripted("hang"))
    assert ended.status == "stopped" and phases[-1] == "loading"


def test_a_killed_worker_is_told_and_its_captions_are_kept(pictures: list[Path]):
    options = CaptionOptions(tagger="x", mode="overwrite")
    captions, _, _, ended = collect(pictures, options, scripted("killed"))
    assert captions == {"bild 0.png": "picture 0"}
    assert ended.status == "failed" and ended.problems[0].code == "worker_died"
    assert "was killed" in ended.problems[0].title


def test_a_crash_shows_what_was_printed_last(pictures: list[Path]):
    _, _, _, ended = collect(pictures, CaptionOptions(tagger="x"), scripted("crash"))
    assert "code 3" in ended.problems[0].title
    assert "a library says goodbye" in ended.problems[0].detail


def test_prints_of_libraries_do_not_mix_with_captions(pictures: list[Path]):
    captions, _, _, ended = collect(pictures, CaptionOptions(tagger="x"), scripted("chatty"))
    assert len(captions) == 3 and ended.status == "finished"


def test_where_a_batch_fails_each_picture_is_tried_alone(pictures: list[Path]):
    options = CaptionOptions(tagger="x", mode="overwrite", batch=4)
    captions, problems, _, ended = collect(pictures, options, scripted("third_fails"))
    assert sorted(captions) == ["bild 0.png", "bild 1.png", "bild 3.png"]
    assert ended.status == "finished"
    assert "bild 2.png was not captioned: The model failed (ValueError: no)" in problems[0].title


def test_a_model_that_always_fails_ends_the_work(pictures: list[Path]):
    options = CaptionOptions(tagger="x", mode="overwrite", batch=1)
    _, problems, _, ended = collect(pictures, options, scripted("always_fails"))
    assert len(problems) == 3 and ended.status == "failed"
    assert ended.problems[0].code == "captioner_fails"


def test_too_little_memory_for_a_batch_is_enough_for_one(pictures: list[Path]):
    options = CaptionOptions(tagger="x", mode="overwrite", batch=4)
    captions, problems, _, _ = collect(pictures, options, scripted("small_memory"))
    assert len(captions) == 4 and problems == []


def test_no_tag_above_the_threshold_is_told(sure_tagger: Path, pictures: list[Path]):
    options = tagged(sure_tagger, general=1.0, character=1.0)
    captions, problems, _, _ = collect(pictures, options)
    assert captions == {} and len(problems) == 3
    assert "no tag above the threshold" in problems[0].title


def test_garbage_and_newer_commands_are_ignored():
    assert messages.decode(b"no json") is None
    assert messages.decode(b'{"type": "later"}') is None
    assert messages.decode(b'["list"]') is None
    newer = b'{"type": "captioned", "index": 3, "text": "x", "score": 1}'
    assert messages.decode(newer) == messages.Captioned(3, "x")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_worker_ends_when_its_parent_is_gone(pictures: list[Path]):
    process = subprocess.Popen(
        scripted("hang"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=worker_environment(),
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(messages.encode(messages.Pictures([str(pictures[0])])))
    process.stdin.write(messages.encode(messages.Start({"tagger": "x"})))
    process.stdin.flush()
    process.stdout.readline()
    process.stdin.close()
    assert process.wait(30) == 130
    process.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_heartbeats_come_and_an_interrupt_is_not_the_workers_business(pictures: list[Path]):
    worker = CaptionWorker(scripted("beating"))
    worker.begin(pictures, CaptionOptions(tagger="x"))
    try:
        kinds: list[str] = []
        while "Heartbeat" not in kinds:
            event = worker.get(20)
            assert event is not None
            kinds.append(type(event).__name__)
            if kinds == ["Hello"]:
                continue
            os.kill(worker.pid, signal.SIGINT)
        worker.stop()
        while not worker.ended:
            event = worker.get(20)
            kinds += [type(event).__name__] if event else []
        assert kinds[-1] == "Done" and worker.wait(10) == 130
    finally:
        worker.kill()
