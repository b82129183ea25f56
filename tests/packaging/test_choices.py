"""The pure functions of set-up: torch's build, Qt's libraries, lock files, checks."""

import re
import subprocess
import sys
import tomllib

import pytest

import bootstrap
import checks
import qt_libraries
import relock
import system_packages
import torch_index
from tests.packaging.conftest import PACKAGING

OLD_HEAD = "| NVIDIA-SMI 550.54.15   Driver Version: 550.54.15   CUDA Version: 12.4     |"
NEW_HEAD = "| NVIDIA-SMI 590.44   KMD Version: 590.44   CUDA UMD Version: 13.1     |"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (OLD_HEAD, (12, 4)),
        (NEW_HEAD, (13, 1)),
        ("| NVIDIA-SMI 470.1  Driver Version: 470.1  CUDA Version: N/A |", None),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", None),
        ("", None),
    ],
)
def test_cuda_version(text, version):
    assert torch_index.parse_cuda_version(text) == version


def test_capabilities():
    assert torch_index.parse_capabilities("8.9\n 12.0 \n[N/A]\n") == ((8, 9), (12, 0))
    assert torch_index.parse_capabilities("Field compute_cap is not a valid field") == ()


@pytest.mark.parametrize(
    ("platform", "cuda", "capability", "index", "note"),
    [
        ("linux", (13, 0), "8.9", None, ""),
        ("linux", (13, 1), "12.0", None, ""),
        ("win32", (13, 1), "8.9", "cu130", ""),
        ("linux", (12, 4), "8.6", "cu126", ""),
        ("win32", (12, 4), "8.6", "cu126", ""),
        # Pascal and Volta are not in the CUDA 13 builds, however new the driver is.
        ("linux", (13, 0), "6.1", "cu126", ""),
        ("win32", (13, 0), "7.0", "cu126", ""),
        # An nvidia-smi that does not tell the capability.
        ("linux", (12, 0), "", "cu126", ""),
        # Blackwell is not in the CUDA 12.6 build: only a newer driver helps.
        ("win32", (12, 8), "12.0", "cu130", "driver 580 or newer"),
        ("linux", (12, 8), "12.0", None, "driver 580 or newer"),
        ("linux", (11, 4), "7.5", None, "CUDA 11.4 only"),
        ("win32", (11, 4), "7.5", None, "CUDA 11.4 only"),
        ("linux", (12, 2), "3.5", None, "older than torch supports"),
    ],
)
def test_torch_for_nvidia(platform, cuda, capability, index, note):
    head = f"CUDA Version: {cuda[0]}.{cuda[1]}"
    report = torch_index.parse_nvidia(head, capability)
    choice = torch_index.choose_torch(platform, "x86_64", report)
    if index is None:
        assert (choice.requirement, choice.index) == ("torch==2.13.0", None)
    else:
        assert choice.requirement == f"torch==2.13.0+{index}"
        assert choice.index == f"https://download.pytorch.org/whl/{index}"
    assert note in choice.note and bool(note) == bool(choice.note)


def test_the_newest_of_several_cards_counts():
    report = torch_index.parse_nvidia(NEW_HEAD, "6.1\n8.9\n")
    assert torch_index.choose_torch("linux", "x86_64", report) == torch_index.PLAIN


def test_torch_for_amd():
    node = "cpu_cores_count 0\nsimd_count 96\ngfx_target_version {}\nvendor_id 4098\n"
    chips = torch_index.parse_amd_chips([node.format(0), node.format(110000), "nothing"])
    assert chips == (110000,)
    choice = torch_index.choose_torch("linux", "x86_64", None, chips)
    assert choice.requirement == "torch==2.13.0+rocm7.2" and choice.index.endswith("/rocm7.2")
    small = torch_index.choose_torch("linux", "x86_64", None, (100306,))
    assert small.index is None and "use the processor" in small.note
    assert torch_index.choose_torch("win32", "AMD64", None, chips) == torch_index.PLAIN
    nvidia = torch_index.parse_nvidia(OLD_HEAD, "8.6")
    assert torch_index.choose_torch("linux", "x86_64", nvidia, chips).index.endswith("/cu126")


def test_torch_without_a_card_or_as_the_user_wants():
    choose = torch_index.choose_torch
    for platform in ("linux", "win32", "darwin"):
        assert choose(platform, "x86_64", None) == torch_index.PLAIN
    nvidia = torch_index.parse_nvidia(OLD_HEAD, "8.6")
    assert choose("linux", "x86_64", nvidia, (), "plain") == torch_index.PLAIN
    wanted = choose("linux", "x86_64", nvidia, (), "https://download.pytorch.org/whl/cpu/")
    assert wanted.requirement == "torch==2.13.0+cpu"
    mirror = choose("linux", "x86_64", None, (), "https://mirror.example/simple")
    assert (mirror.requirement, mirror.index) == (
        "torch==2.13.0",
        "https://mirror.example/simple",
    )


def missing(environ, absent=(), fonts=True):
    found = qt_libraries.missing_libraries(environ, lambda name: name not in absent, lambda: fonts)
    return [library.soname for library in found]


def test_qt_libraries_depend_on_the_session():
    cursor = ("libxcb-cursor.so.0",)
    assert missing({}, cursor) == [*cursor]
    assert missing({"QT_QPA_PLATFORM": "offscreen"}, cursor) == []
    assert missing({"WAYLAND_DISPLAY": "wayland-0"}, cursor) == []
    assert missing({"WAYLAND_DISPLAY": "wayland-0", "QT_QPA_PLATFORM": "xcb"}, cursor) == [*cursor]
    egl = ("libEGL.so.1",)
    assert missing({"QT_QPA_PLATFORM": "offscreen:dpi=96"}, egl) == [*egl]
    assert missing({}, (), fonts=False) == ["a font"]


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("apt", "sudo apt-get install --no-install-recommends libegl1 libglib2.0-0"),
        ("dnf", "sudo dnf install libglvnd-egl glib2"),
        ("pacman", "sudo pacman -S --needed libglvnd glib2"),
    ],
)
def test_the_message_names_libraries_and_the_exact_command(manager, command):
    absent = ("libEGL.so.1", "libglib-2.0.so.0", "libgthread-2.0.so.0")
    found = qt_libraries.missing_libraries({}, lambda name: name not in absent, lambda: True)
    message = qt_libraries.missing_message(found, manager)
    assert "libEGL.so.1, libglib-2.0.so.0" in message
    assert message.endswith(f"please run: {command}")
    assert "\n" not in message
    assert "package manager" in qt_libraries.missing_message(found, None)


def test_the_package_manager_is_the_one_there():
    for program, name in (("apt-get", "apt"), ("dnf", "dnf"), ("pacman", "pacman")):
        assert qt_libraries.package_manager(lambda p, here=program: p == here or None) == name
    assert qt_libraries.package_manager(lambda program: None) is None


def test_a_font_package_brings_its_configuration():
    packages = qt_libraries.packages_for([qt_libraries.FONT], "apt")
    assert packages == ["fonts-dejavu-core", "fontconfig"]


def test_fonts_are_found_below_the_usual_folders(tmp_path):
    assert not qt_libraries.has_fonts((tmp_path, tmp_path / "missing"))
    (tmp_path / "truetype").mkdir()
    (tmp_path / "truetype" / "Some.TTF").touch()
    assert qt_libraries.has_fonts((tmp_path,))


def test_root_under_apt_installs_itself(monkeypatch):
    installed = []
    libraries = [[qt_libraries.BASE[0]], []]
    monkeypatch.setattr(qt_libraries, "missing_libraries", lambda environ: libraries.pop(0))
    monkeypatch.setattr(system_packages, "may_install", lambda: True)
    monkeypatch.setattr(system_packages, "apt_install", lambda names: installed.append(names) or 1)
    system_packages.provide_qt_libraries({})
    assert installed == [["libegl1"]]


def test_others_are_told(monkeypatch):
    monkeypatch.setattr(qt_libraries, "missing_libraries", lambda environ: [qt_libraries.BASE[0]])
    monkeypatch.setattr(system_packages, "may_install", lambda: False)
    with pytest.raises(system_packages.SetupError, match=r"The window needs libEGL\.so\.1"):
        system_packages.provide_qt_libraries({})


def test_a_missing_venv_module_names_its_package(monkeypatch):
    monkeypatch.setattr(system_packages.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(system_packages, "may_install", lambda: False)
    package = "python{}.{}-venv".format(*sys.version_info[:2])
    with pytest.raises(system_packages.SetupError, match=f"apt-get install {package}"):
        system_packages.provide_venv_module()


def test_python_versions():
    assert [bootstrap.check_python((3, minor)) for minor in (11, 12, 13)] == ["", "", ""]
    for version in ((3, 10), (3, 14), (2, 7)):
        assert "Limner needs Python 3.11, 3.12 or 3.13" in bootstrap.check_python(version)


def test_the_display_rule_is_the_same_in_both_places():
    from app.__main__ import has_display

    for platform in ("linux", "win32", "darwin"):
        for environ in ({}, {"DISPLAY": ":0"}, {"WAYLAND_DISPLAY": "w"}, {"DISPLAY": ""}):
            assert has_display(platform, environ) == bootstrap.has_display(platform, environ)


def test_checks_run_all_four_and_pass_arguments_on():
    commands = checks.check_commands("py", ["-k", "lora"], None)
    assert list(commands) == ["ruff format", "ruff check", "mypy", "pytest"]
    assert commands["pytest"] == ["py", "-m", "pytest", "-k", "lora"]
    whole = checks.check_commands("py", [], None)["pytest"]
    assert whole[:7] == ["py", "-m", "pytest", "-n", "2", "--dist", "loadfile"]
    assert "no:cacheprovider" in checks.check_commands("py", [], "/tmp/x")["pytest"]


def test_checks_go_on_after_a_failure_and_name_it(monkeypatch, tmp_path, capfd):
    codes = {"ruff": 1, "mypy": 0, "pytest": 3}
    ran = []

    def run(command, cwd, env):
        ran.append(command[2])
        return subprocess.CompletedProcess(command, codes[command[2]])

    monkeypatch.setattr(checks.subprocess, "run", run)
    assert checks.run_checks(tmp_path, [], {}) == 1
    assert ran == ["ruff", "ruff", "mypy", "pytest"]
    assert capfd.readouterr().err.endswith("Failed: ruff format, ruff check, pytest.\n")
    codes.update(ruff=0, pytest=0)
    assert checks.run_checks(tmp_path, [], {}) == 0


def test_lock_files_are_complete_and_clean():
    pyproject = tomllib.loads((PACKAGING.parent / "pyproject.toml").read_text(encoding="utf-8"))
    texts = [
        (PACKAGING / name).read_text(encoding="utf-8")
        for name in ("constraints.txt", "constraints-cuda.txt")
    ]
    for text in texts:
        assert "Regenerate: python packaging/bootstrap.py --relock" in text
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in lines)
    locked = set(re.findall(r"^([a-z0-9-]+)==", texts[0], re.MULTILINE))
    for line in relock.all_requirements(pyproject):
        assert relock.normalized(re.split(r"[<>=!~\[; ]", line)[0]) in locked
    assert "torch==2.13.0\n" in texts[0]


def test_pins_are_taken_from_pips_report():
    names = [("torch", "2.13.0+cpu"), ("nvidia-cublas", "13.1"), ("triton", "3.7"), ("A_b", "1")]
    items = [{"metadata": {"name": name, "version": version}} for name, version in names]
    common, cuda = relock.pins_from_report({"install": items})
    assert common == {"torch": "2.13.0", "a-b": "1"}
    assert cuda == {"nvidia-cublas": "13.1", "triton": "3.7"}
    assert relock.lock_text("What.", common).endswith("\na-b==1\ntorch==2.13.0\n")


def test_start_bat_is_for_windows():
    raw = (PACKAGING.parent / "start.bat").read_bytes()
    assert raw.isascii() and raw.count(b"\n") == raw.count(b"\r\n")
    assert b'"%~dp0packaging\\bootstrap.py" %*' in raw
