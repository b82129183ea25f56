"""Commands that train: with a scripted trainer for everything that can go wrong, and for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.cli.demo import contact_sheet
from core.runs.events import EventLog, read_events
from core.runs.folder import RunFolder
from core.runs.history import summarize
from core.runs.lock import is_running, running_pid
from core.worker import protocol

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
Scripted = Callable[..., "subprocess.Popen[str]"]


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err
    return process.returncode, out, err


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def in_phase(run: RunFolder, name: str) -> bool:
    events, _ = read_events(run.events_file)
    return any(isinstance(e, protocol.Phase) and e.name == name for e in events)


def test_a_run_to_its_end(scripted: Scripted, settings: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "ein Lauf"
    code, out, err = finish(scripted("steps", "train", "demo", *settings, "--run-dir", str(folder)))
    assert code == 0, err
    assert f"LoRA:    {folder / 'lora.safetensors'}" in out
    assert "Step 5/5" in out
    assert "Finished after 5 steps." in out
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    assert Path(job["concepts"][0]["path"]).is_absolute()


def test_runs_go_to_the_named_folder(
    scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    code, _, _ = finish(scripted("steps", "train", "demo", *settings, "--runs", str(runs)))
    assert code == 0
    (folder,) = runs.iterdir()
    assert folder.name.endswith("-demo")
    # The frozen job can be trained again.
    code, _, _ = finish(
        scripted("steps", "train", str(folder / "job.json"), "--runs", str(tmp_path / "again"))
    )
    assert code == 0


def test_json_gives_one_event_a_line(
    scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    code, out, _ = finish(
        scripted("steps", "train", "demo", *settings, "--run-dir", str(folder), "--json")
    )
    assert code == 0
    events = [protocol.decode_event(line) for line in out.splitlines()]
    assert None not in events
    assert events == read_events(folder / "events.jsonl")[0]


@pytest.mark.parametrize(
    ("trainer", "code", "words"),
    [
        ("user_error", 1, "The first thing is wrong."),
        ("cuda_memory", 1, "memory is not enough"),
        ("bug", 1, "division by zero"),
        ("exit", 1, "ended unexpectedly with code 7"),
    ],
)
def test_failures(
    trainer: str, code: int, words: str, scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = scripted(trainer, "train", "demo", *settings, "--run-dir", str(folder))
    found, out, err = finish(process)
    assert found == code
    assert words in out + err
    assert f'limner resume "{folder}"' in out


@posix
def test_ctrl_c_stops_with_a_checkpoint(
    scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    process = scripted("training", "train", "demo", *settings, "--run-dir", str(run.path))
    wait_until(lambda: in_phase(run, "training"))
    process.send_signal(signal.SIGINT)
    code, out, _ = finish(process)
    assert code == 130
    assert "Checkpoint at step 4" in out
    assert "Stopped at step 4" in out
    assert not is_running(run)


@posix
def test_two_signals_at_once_are_one_wish(
    scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    process = scripted("training", "train", "demo", *settings, "--run-dir", str(run.path))
    wait_until(lambda: in_phase(run, "training"))
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    code, _, _ = finish(process)
    assert code == 130
    assert "checkpoint" in [event.type for event in read_events(run.events_file)[0]]


@posix
def test_a_second_ctrl_c_ends_it_at_once(
    scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    process = scripted("deaf_training", "train", "demo", *settings, "--run-dir", str(run.path))
    wait_until(lambda: in_phase(run, "training"))
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, _, _ = finish(process)
    assert code == 130
    assert not is_running(run)


@posix
def test_the_worker_outlives_a_killed_command_line(
    scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    process = scripted("wait_for_file", "train", "demo", *settings, "--run-dir", str(run.path))
    wait_until(lambda: in_phase(run, "training"))
    process.kill()
    process.communicate(timeout=30)
    assert is_running(run)
    code, _, err = finish(scripted("steps", "resume", str(run.path)))
    assert code == 2
    assert "is being trained at this moment" in err
    (run.path / "go").touch()
    wait_until(lambda: not is_running(run))
    summary = summarize(run.path)
    assert summary is not None
    assert summary.status == "finished"


def test_a_reader_who_leaves_does_not_end_the_training(
    scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    process = scripted(
        "wait_for_file", "train", "demo", *settings, "--run-dir", str(run.path), "--json"
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    wait_until(lambda: in_phase(run, "training"))
    (run.path / "go").touch()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_a_taken_run_folder_is_refused(
    scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    arguments = ["train", "demo", *settings, "--run-dir", str(tmp_path / "run")]
    assert finish(scripted("steps", *arguments))[0] == 0
    before = (tmp_path / "run" / "events.jsonl").read_bytes()
    code, _, err = finish(scripted("steps", *arguments))
    assert code == 2
    assert "already holds a run" in err
    assert (tmp_path / "run" / "events.jsonl").read_bytes() == before


def test_resuming_a_finished_run_says_so(
    scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    folder = str(tmp_path / "run")
    assert finish(scripted("steps", "train", "demo", *settings, "--run-dir", folder))[0] == 0
    code, out, _ = finish(scripted("steps", "resume", folder))
    assert code == 0
    assert "is finished (5 of 5 steps)" in out
    code, _, err = finish(scripted("steps", "resume", folder, "--checkpoint", "step-000009"))
    assert code == 2
    assert "step-000009" in err


def test_a_changed_model_is_named_with_the_way_to_go_on(
    scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    folder = str(tmp_path / "run")
    code, out, err = finish(scripted("changed", "train", "demo", *settings, "--run-dir", folder))
    assert code == 1
    assert "The VAE has changed" in out + err
    assert f'limner resume "{folder}" --accept-changes' in out
    code, out, _ = finish(scripted("changed", "resume", folder, "--accept-changes"))
    assert code == 0
    assert "Finished after 5 steps" in out


def test_nothing_is_made_when_settings_are_bad(
    scripted: Scripted, settings: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    bad = ["--set", f"concepts.0.path={tmp_path / 'none'}"]
    process = scripted("steps", "train", "demo", *settings, *bad, "--run-dir", str(folder))
    code, _, err = finish(process)
    assert code == 2
    assert "none" in err
    assert not folder.exists()


def test_the_contact_sheet_shows_first_and_last(tmp_path: Path) -> None:
    from PIL import Image

    run = RunFolder(tmp_path / "run")
    log = EventLog(run.events_file)
    colours = {0: (200, 0, 0), 50: (0, 0, 200), 100: (0, 200, 0)}
    for at, colour in colours.items():
        run.samples(at).mkdir(parents=True)
        for index in range(7):
            path = run.samples(at) / f"{index:02d}-x.png"
            Image.new("RGB", (64, 32 + 32 * (index % 2)), colour).save(path)
            prompt = f"number {index}: " + "a long prompt with many words " * 5
            log.append(
                protocol.Sample(
                    step=at, index=index, path=run.relative(path), prompt=prompt, seed=1
                )
            )
        if at == 0:
            assert contact_sheet(run) is None
    path = contact_sheet(run)
    assert path == run.path / "before-after.png"
    with Image.open(path) as sheet:
        counts = {colour: n for n, colour in sheet.convert("RGB").getcolors(1 << 24) or []}
    # Seven pictures of each, scaled to the same area; the middle step is not there.
    area = 256 * 256 * 3 + 256 * 128 * 4
    assert counts[200, 0, 0] == counts[0, 200, 0] == area
    assert (0, 0, 200) not in counts


@pytest.mark.slow
def test_train_for_real_kill_and_resume(
    limner: Any,
    settings: list[str],
    environment: dict[str, str],
    scripted: Scripted,
    tmp_path: Path,
) -> None:
    """The whole way with the real trainer: kill -9 in the middle, then resume to the end."""
    import sys

    run = RunFolder(tmp_path / "run")
    more = ["--set", "training.max_steps=400", "--run-dir", str(run.path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "core.cli", "train", "demo", *settings, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
    )
    wait_until(lambda: run.checkpoint(4).exists(), 200)
    pid = running_pid(run)
    assert pid is not None
    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    code, out, _ = finish(process)
    assert code == 1
    assert "limner resume" in out
    summary = summarize(run.path)
    assert summary is not None
    assert summary.status == "crashed"

    job = json.loads(run.job_file.read_text(encoding="utf-8"))
    reached = summary.step
    job["training"]["max_steps"] = reached + 3
    run.job_file.write_text(json.dumps(job), encoding="utf-8")
    finished = limner("resume", str(run.path), "--json")
    assert finished.returncode == 0, finished.stderr
    events = [protocol.decode_event(line) for line in finished.stdout.splitlines()]
    hello = next(e for e in events if isinstance(e, protocol.Hello))
    assert hello.resumed_from.startswith("step-")
    assert hello.device
    steps = [e.step for e in events if isinstance(e, protocol.Step)]
    first = int(hello.resumed_from.removeprefix("step-")) + 1
    assert steps == list(range(first, reached + 4))
    assert isinstance(events[-1], protocol.Done)
    info = limner("lora", "info", str(run.lora_file))
    assert info.returncode == 0
    assert "rank      2" in info.stdout
