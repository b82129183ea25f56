"""A wheel built from the project holds the program with its presets and resources."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel's path, built without isolation: nothing is fetched."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command = [*pip, "--no-index", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("limner-*.whl")
    return built


def test_presets_and_resources_are_inside(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "presets", "resources"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    ).stdout
    files = [name for name in tracked.split("\0") if name]
    files += [str(p.relative_to(ROOT).as_posix()) for p in (ROOT / "presets").rglob("*.json")]
    assert files
    assert [name for name in files if f"core/_data/{name}" not in names] == []


def test_the_program_is_inside_and_nothing_else(wheel):
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    for name in ("core/paths.py", "app/__main__.py"):
        assert name in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"core", "app", *(top for top in tops if top.endswith(".dist-info"))}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    entry = next(name for name in names if name.endswith("entry_points.txt"))
    assert "limner = app.__main__:main" in archive.read(entry).decode()
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_an_installed_program_finds_its_own_files(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from core import paths\n"
        "print(paths.resources_dir(), paths.builtin_presets_dir(), sep='\\n')"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    data = tmp_path / "core" / "_data"
    assert done.stdout.split("\n")[:2] == [str(data / "resources"), str(data / "presets")]
    assert (data / "resources").is_dir() and (data / "presets").is_dir()


def test_an_editable_installation_copies_nothing(tmp_path):
    hatchling = pytest.importorskip("hatchling.builders.wheel")
    builder = hatchling.WheelBuilder(str(ROOT))
    (built,) = builder.build(directory=str(tmp_path), versions=["editable"])
    archive = zipfile.ZipFile(built)
    names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert names == ["_limner.pth"]
    assert archive.read("_limner.pth").decode().strip() == str(ROOT)
