"""Set-up is repeated when it was interrupted, waits for another one, and is quick when done."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import environment
import stamp
from tests.packaging.conftest import PACKAGING


def wait_for(condition, seconds=20.0):
    """Wait until `condition()` holds; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def pip_calls(project):
    return [call for call in project.calls() if "\tpip\t" in call]


def test_set_up_installs_torch_first_and_only_once(project):
    code, said = project.set_up(os.environ)
    assert code == 0, said
    calls = pip_calls(project)
    assert "torch==2.13.0" in calls[0] and "packaging/constraints.txt" in calls[0]
    assert "hatchling" in calls[1]
    assert "--no-build-isolation" in calls[2] and "--editable\t.\t" in calls[2]
    assert all(f"cwd={project.root}" in call and "utf8=1" in call for call in calls)
    assert stamp.is_ready(project.root, "app") and not stamp.is_ready(project.root, "test")

    code, said = project.set_up(os.environ)
    assert (code, said) == (0, "")
    assert pip_calls(project) == calls


def test_the_test_tools_come_on_top_and_stay(project):
    project.set_up(os.environ)
    code, said = project.set_up(os.environ, kind="test")
    assert code == 0, said
    assert "\t.[test]\t" in pip_calls(project)[-1]
    assert "interrupt" not in said and "not finish" not in said
    assert stamp.is_ready(project.root, "app") and stamp.is_ready(project.root, "test")

    with open(project.root / "pyproject.toml", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert not stamp.is_ready(project.root, "app")
    project.set_up(os.environ)
    assert stamp.is_ready(project.root, "test")


def test_a_killed_set_up_is_repeated_from_nothing(project):
    process = project.start_set_up(os.environ, STUB_HANG_ON="--editable")
    wait_for(lambda: len(pip_calls(project)) == 3)
    (project.root / ".venv" / "half-installed").touch()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not stamp.is_ready(project.root, "app")

    code, said = project.set_up(os.environ)
    assert code == 0 and "did not finish" in said
    assert not (project.root / ".venv" / "half-installed").exists()
    assert len(pip_calls(project)) == 6
    assert stamp.is_ready(project.root, "app")


def test_an_interrupted_update_is_repeated_from_nothing(project):
    project.set_up(os.environ)
    process = project.start_set_up(os.environ, kind="test", STUB_HANG_ON="[test]")
    wait_for(lambda: len(pip_calls(project)) == 6)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not stamp.is_ready(project.root, "app")
    code, said = project.set_up(os.environ)
    assert code == 0 and "did not finish" in said
    assert stamp.is_ready(project.root, "app")


def test_a_failure_before_anything_changed_goes_on_from_there(project):
    error = "ERROR: Max retries exceeded with url: /simple/"
    code, said = project.set_up(os.environ, STUB_FAIL_ON="hatchling", STUB_ERROR=error)
    assert code == 1 and "pip could not reach its package index" in said
    (project.root / ".venv" / "torch-is-here").touch()
    code, said = project.set_up(os.environ)
    assert code == 0 and (project.root / ".venv" / "torch-is-here").exists()


def test_a_full_disk_starts_from_nothing(project):
    error = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left"
    code, said = project.set_up(os.environ, STUB_FAIL_ON="torch==", STUB_ERROR=error)
    assert code == 1 and "The disk is full" in said
    assert stamp.read_stamp(project.root / ".venv") == {"state": "unfinished"}


def test_a_second_process_waits_and_then_does_nothing(project):
    first = project.start_set_up(os.environ, STUB_HANG_ON="--editable")
    wait_for(lambda: len(pip_calls(project)) == 3)
    second = project.start_set_up(os.environ)
    assert second.stderr.readline().startswith("Another set-up of Limner is running; waiting")
    assert second.poll() is None
    # Only the sleeping stand-in for pip ends: the first set-up then finishes by itself.
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children")
    if not children.exists():
        os.killpg(first.pid, signal.SIGKILL)
        pytest.skip("this system does not list a process's children")
    pip = int(children.read_text().split()[0])
    sleep = int(Path(f"/proc/{pip}/task/{pip}/children").read_text().split()[0])
    os.kill(sleep, signal.SIGTERM)
    assert first.wait(20) == 0
    _out, said = second.communicate(timeout=20)
    assert second.returncode == 0 and said == ""
    assert len(pip_calls(project)) == 3
    first.communicate()


def test_the_lock_is_free_after_its_holder_was_killed(tmp_path):
    lock = tmp_path / "lock"
    code = (
        f"import sys, time; sys.path.insert(0, {str(PACKAGING)!r}); import environment\n"
        f"from pathlib import Path\n"
        f"with environment.setup_lock(Path({str(lock)!r})):\n"
        f"    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    entered = threading.Event()

    def enter():
        with environment.setup_lock(lock, poll_seconds=0.02):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(0.3)
    holder.kill()
    thread.join(20)
    assert entered.is_set()
    holder.communicate()


def test_the_lock_outlives_a_killed_set_up_while_pip_still_runs(project):
    first = project.start_set_up(os.environ, STUB_HANG_ON="--editable")
    wait_for(lambda: len(pip_calls(project)) == 3)
    first.kill()
    first.wait()
    second = project.start_set_up(os.environ)
    assert second.stderr.readline().startswith("Another set-up of Limner is running; waiting")
    time.sleep(0.5)
    assert second.poll() is None and len(pip_calls(project)) == 3
    os.killpg(first.pid, signal.SIGKILL)
    _out, said = second.communicate(timeout=20)
    assert second.returncode == 0 and "did not finish" in said
    assert stamp.is_ready(project.root, "app")
    first.communicate()


def test_someone_elses_environment_is_left_alone(project):
    (project.root / ".venv").mkdir()
    (project.root / ".venv" / "mine").touch()
    code, said = project.set_up(os.environ)
    assert code == 1 and "was not made by Limner's set-up" in said
    assert (project.root / ".venv" / "mine").exists()


def test_a_moved_checkout_is_not_ready(project):
    project.set_up(os.environ)
    moved = project.root.with_name("moved")
    project.root.rename(moved)
    assert not stamp.is_ready(moved, "app")


def test_a_broken_stamp_is_no_stamp(tmp_path):
    for text in ("", "{", "[]", "null"):
        (tmp_path / stamp.STAMP_NAME).write_text(text)
        assert stamp.read_stamp(tmp_path) == {}


def test_too_little_space_is_said(monkeypatch, tmp_path):
    usage = shutil._ntuple_diskusage(10, 9, 1_000_000_000)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(environment.SetupError, match=r"Only 1\.0 GB are free"):
        environment.check_space(tmp_path)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("OSError: [WinError 112] There is not enough space", "The disk is full"),
        ("ProxyError('Cannot connect to proxy.')", "could not reach its package index"),
        ("SSLError(SSLCertVerificationError(1", "could not reach its package index"),
        ("ERROR: No matching distribution found for torch==2.13.0", "There is no torch 2.13.0"),
        ("ERROR: something else", "something else"),
    ],
)
def test_pip_failures_are_explained(tmp_path, line, sentence):
    explained = environment.explain_pip_failure(["WARNING: noise", line], tmp_path / ".venv")
    assert sentence in explained and explained.endswith(".") and "\n" not in explained


def test_the_fast_path_neither_runs_pip_nor_imports_set_up(project):
    project.set_up(os.environ)
    before = len(project.calls())
    command = [sys.executable, "-X", "importtime", str(project.root / "packaging/bootstrap.py")]
    environ = project.environ(os.environ)
    done = subprocess.run(
        [*command, "train", "a b.json"], env=environ, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert len(project.calls()) == before + 1
    assert project.calls()[-1].startswith("-m\tapp\ttrain\ta b.json\tutf8=1 safe=1")
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "stamp" in imported
    assert imported.isdisjoint({"environment", "torch_index", "system_packages", "relock"})


def test_start_sh_works_from_anywhere(project, tmp_path):
    project.set_up(os.environ)
    # start.sh takes the environment's Python: here one that runs the real bootstrap.py.
    python = project.root / ".venv/bin/python"
    stub = python.with_name("stub")
    python.rename(stub)
    python.write_text(
        f'#!/bin/sh\ncase "$1" in *bootstrap.py) exec "{sys.executable}" "$@" ;; esac\n'
        f'exec "{stub}" "$@"\n'
    )
    python.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(project.root / "start.sh")
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    for program in (project.root / "start.sh", link, Path("..") / project.root.name / "start.sh"):
        done = subprocess.run(
            [str(program), "lora", "info", "Bär 图.safetensors"],
            cwd=elsewhere if program.is_absolute() else tmp_path / "else where",
            env=project.environ(os.environ),
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
        call = project.calls()[-1]
        assert call.startswith("-m\tapp\tlora\tinfo\tBär 图.safetensors\t")
        # Relative paths of the user's are meant from where the user is.
        assert call.endswith(f"cwd={elsewhere}")


def test_start_sh_without_a_display_sets_nothing_up(project):
    environ = project.environ(os.environ)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        environ.pop(name, None)
    command = [sys.executable, str(project.root / "packaging/bootstrap.py")]
    done = subprocess.run(command, env=environ, capture_output=True, encoding="utf-8")
    assert done.returncode == 2 and "./start.sh demo" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (project.root / ".venv").exists()


def test_start_sh_names_the_pythons_it_takes(project, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "readlink"):
        (tools / name).symlink_to(shutil.which(name))
    environ = {**project.environ(os.environ), "PATH": str(tools)}
    environ.pop("LIMNER_PYTHON", None)
    command = [str(project.root / "start.sh"), "demo"]
    done = subprocess.run(command, env=environ, capture_output=True, encoding="utf-8")
    assert done.returncode == 2 and "none was found" in done.stderr
    (tools / "python3").write_text("#!/bin/sh\necho 309\n")
    (tools / "python3").chmod(0o755)
    done = subprocess.run(command, env=environ, capture_output=True, encoding="utf-8")
    assert done.returncode == 2 and "only another version was found" in done.stderr


def test_limner_can_start_limner(project):
    """Limner sets PYTHONSAFEPATH for itself; a start.sh that it starts in turn still works."""
    project.set_up(os.environ)
    command = [sys.executable, str(project.root / "packaging/bootstrap.py"), "presets", "list"]
    environ = project.environ(os.environ, PYTHONSAFEPATH="1")
    done = subprocess.run(command, env=environ, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
