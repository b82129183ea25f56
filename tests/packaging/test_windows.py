"""Set-up on Windows: what is refused before the download, and starting without a console.

Python's own Windows parts are stood in for, so that this runs everywhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bootstrap
import environment
import shortcut
import stamp
import windows
from tests.packaging.conftest import PACKAGING

PYTHON_ORG = r"C:\Users\ann\AppData\Local\Programs\Python\Python312"
STORE = r"C:\Program Files\WindowsApps\PythonSoftwareFoundation.Python.3.12_3.12.2544.0_x64__qbz"


def problem(
    root: str = r"C:\Limner",
    prefix: str = PYTHON_ORG,
    environ: dict[str, str] | None = None,
    long_paths: bool = False,
    system_files: tuple[str, ...] = windows.RUNTIME,
) -> str:
    return windows.problem(root, prefix, environ or {}, long_paths, system_files)


def test_a_usual_place_is_accepted() -> None:
    assert problem() == ""
    assert problem(root="D:\\Programme\\KI und Bilder\\limner") == ""


def test_the_stores_python_is_refused() -> None:
    assert "Microsoft Store" in problem(prefix=STORE)
    assert "python.org" in problem(prefix=STORE)


def test_a_folder_that_is_too_deep_is_refused_unless_windows_permits_long_paths() -> None:
    deep = "C:\\Users\\Christopher\\Contoso\\Documents\\Artificial intelligence\\limner"
    said = problem(root=deep)
    assert str(len(deep)) in said and "C:\\Limner" in said
    assert problem(root=deep, long_paths=True) == ""
    # The longest path that Windows takes has 259 characters.
    longest = windows.MAX_PATH - 1 - windows.LONGEST_PACKAGE_FILE
    assert problem(root="C:\\" + "x" * (longest - 3)) == ""
    assert problem(root="C:\\" + "x" * (longest - 2)) != ""


def test_the_longest_file_of_torch_is_known() -> None:
    import torch

    site = Path(torch.__file__).parent.parent
    infos = [path for path in site.glob("torch-*.dist-info/**/*") if path.is_file()]
    # "+cu130" in the folder's name is two characters longer than "+cpu".
    longest = max(len(str(path.relative_to(site))) for path in infos) + len("+cu130")
    assert longest + len(r"\.venv\Lib\site-packages" + "\\") <= windows.LONGEST_PACKAGE_FILE + 6


@pytest.mark.parametrize("variable", windows.SYNCED)
def test_a_folder_in_onedrive_is_refused(variable: str) -> None:
    environ = {variable: "C:\\Users\\ann\\OneDrive"}
    root = "c:\\users\\ann\\ONEDRIVE\\limner"
    assert "OneDrive" in problem(root=root, environ=environ)
    assert problem(root="C:\\Users\\ann\\OneDrive2\\l", environ=environ) == ""


@pytest.mark.parametrize("missing", windows.RUNTIME)
def test_a_missing_runtime_is_named(missing: str) -> None:
    there = tuple(name.upper() for name in windows.RUNTIME if name != missing)
    assert "Visual C++ Redistributable" in problem(system_files=there)


def test_set_up_asks_before_it_downloads(project, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def refuse(root: Path, fail) -> None:
        raise fail("The folder is inside OneDrive.")

    monkeypatch.setattr(windows, "check", refuse)
    monkeypatch.setattr(environment, "run_pip", lambda *a: called.append("pip"))
    monkeypatch.setattr(environment, "make_venv", lambda venv: called.append("venv"))
    with pytest.raises(environment.SetupError, match="OneDrive"):
        environment.set_up(project.root, "app")
    assert called == []
    assert not (project.root / ".venv").exists()


def test_a_full_disk_for_temporary_files_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = tmp_path / "C"
    drive.mkdir()
    monkeypatch.setattr(environment.tempfile, "gettempdir", lambda: str(drive))
    usage = environment.shutil._ntuple_diskusage
    monkeypatch.setattr(
        environment.shutil,
        "disk_usage",
        lambda place: usage(9, 9, 10**9 if place == drive else 10**11),
    )
    with pytest.raises(environment.SetupError, match=r"Only 1\.0 GB are free at .*/C;"):
        environment.check_space(tmp_path)


def finish(root: Path, **more: object) -> None:
    """Mark the environment below `root` as set up by this Python."""
    venv = root / ".venv"
    python = stamp.venv_python(venv)
    python.parent.mkdir(parents=True, exist_ok=True)
    python.touch()
    (venv / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).parent}\n")
    wanted = stamp.expected_stamp(root)
    state = {"python": wanted["python"], "app": wanted["packages"], "drivers": [], **more}
    environment.write_stamp(venv, state)


def test_an_environment_whose_python_was_moved_is_made_again(
    project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stamp, "graphics_drivers", list)
    finish(project.root)
    assert stamp.is_ready(project.root, "app")
    (project.root / ".venv" / "pyvenv.cfg").write_text("home = /gone/python311\n")
    assert not stamp.is_ready(project.root, "app")
    made: list[str] = []
    monkeypatch.setattr(environment, "make_venv", lambda venv: (made.append("venv"), venv.mkdir()))
    monkeypatch.setattr(environment, "install_packages", lambda *a: made.append("packages"))
    environment.set_up(project.root, "app")
    assert made == ["venv", "packages"]
    assert "is gone" in capsys.readouterr().err


def test_torch_follows_a_graphics_card_that_came_later(
    project, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(project.root, torch="torch==2.13.0")
    monkeypatch.setattr(stamp, "graphics_drivers", lambda: ["nvidia"])
    monkeypatch.setattr(environment, "graphics_drivers", lambda: ["nvidia"])
    assert not stamp.is_ready(project.root, "app")
    answer = {"nvidia-smi": "| CUDA Version: 12.4 |"}
    monkeypatch.setattr(environment, "ask", lambda *command: answer.get(" ".join(command), ""))
    calls: list[list[str]] = []
    monkeypatch.setattr(environment, "run_pip", lambda venv, words, root: calls.append(words))
    environment.set_up(project.root, "app")
    [words] = calls
    assert "torch==2.13.0+cu126" in words
    assert stamp.is_ready(project.root, "app")
    assert stamp.read_stamp(project.root / ".venv")["torch"] == "torch==2.13.0+cu126"


def test_without_a_connection_it_starts_with_the_torch_that_is_there(
    project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(project.root, torch="torch==2.13.0")
    before = stamp.read_stamp(project.root / ".venv")
    monkeypatch.setattr(environment, "graphics_drivers", lambda: ["nvidia"])
    monkeypatch.setattr(stamp, "graphics_drivers", lambda: ["nvidia"])
    monkeypatch.setattr(environment, "ask", lambda *command: "CUDA Version: 12.4")

    def offline(*_: object) -> None:
        raise environment.PipError("pip could not reach its package index.", half_done=False)

    monkeypatch.setattr(environment, "run_pip", offline)
    environment.set_up(project.root, "app")
    assert stamp.read_stamp(project.root / ".venv") == before
    assert "uses the processor" in capsys.readouterr().err


STAND_IN = """\
import os, sys, time
{say}
if {ready}:
    open(os.environ["LIMNER_READY_FILE"], "w").close()
    time.sleep(30)
sys.exit(2)
"""


def stand_in(root: Path, say: str, ready: bool) -> None:
    """A `pythonw.exe` that behaves as the window does when it opens, or cannot."""
    python = stamp.venv_python(root / ".venv").with_name("pythonw.exe")
    python.parent.mkdir(parents=True, exist_ok=True)
    code = STAND_IN.format(say=say, ready=ready)
    script = root / "window.py"
    script.write_text(code)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}"\n')
    python.chmod(0o755)


def test_the_console_goes_when_the_window_is_there(project) -> None:
    stand_in(project.root, "", ready=True)
    code = (
        f"import sys; sys.path.insert(0, {str(PACKAGING)!r}); import bootstrap, os, pathlib\n"
        f"print(bootstrap.open_window(pathlib.Path({str(project.root)!r}), dict(os.environ)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=25)
    assert (done.stdout.strip(), done.stderr) == ("0", "")


def test_a_window_that_cannot_open_says_why(project, capsys: pytest.CaptureFixture[str]) -> None:
    say = 'print("The window needs Qt, which could not be loaded.", file=sys.stderr)'
    stand_in(project.root, say, ready=False)
    assert bootstrap.open_window(project.root, dict(os.environ)) == 2
    assert "could not be loaded" in capsys.readouterr().err


def test_the_start_menu_entry_opens_the_window_without_a_console(tmp_path: Path) -> None:
    values = shortcut.shortcut_values(tmp_path, {"APPDATA": "/appdata"})
    assert values is not None
    assert values["LIMNER_LINK"].endswith("Limner.lnk")
    assert values["LIMNER_TARGET"].endswith("pythonw.exe")
    assert "bootstrap.py" in values["LIMNER_ARGUMENTS"]
    assert shortcut.shortcut_values(tmp_path, {}) is None
    icon = PACKAGING.parent / "resources" / "icons" / "limner.ico"
    assert icon.read_bytes()[:4] == b"\0\0\1\0"


def test_start_bat_recovers_and_stays_open() -> None:
    lines = (PACKAGING.parent / "start.bat").read_text(encoding="ascii").splitlines()
    venv = next(n for n, line in enumerate(lines) if line.startswith('"%~dp0.venv'))
    before, after = lines[:venv], lines[venv:]
    # An unfinished environment is left to the Python outside it.
    asked = next(n for n, line in enumerate(before) if line.startswith('find "unfinished"'))
    assert before[asked + 1] == "if not errorlevel 1 goto search"
    # 103 and its neighbours: the launcher in the environment has lost its Python.
    assert "if %code% geq 100 if %code% leq 112 goto search" in after
    # Each way ends where the console of a double click waits.
    assert not any(line.startswith("exit /b") for line in lines[: lines.index(":done")])
    assert lines[lines.index(":done") :].count("if not errorlevel 1 pause") == 1
