"""Renaming, replacing and removing while other programs are in the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from core import files
from tests.refusals import momentary_refusals, refusal

# As the program has them; `refusals` takes them away.
_WAITS = files._WAITS


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, without waiting them."""
    monkeypatch.setattr(files, "_WAITS", _WAITS)
    waited: list[float] = []
    monkeypatch.setattr(files.time, "sleep", waited.append)
    return waited


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, times: int, number: int) -> None:
    """Let `os.name` fail with a WinError the first `times` times."""
    real, left = getattr(os, name), [times]

    def call(*paths: object) -> None:
        if left[0]:
            left[0] -= 1
            raise refusal(paths[0], number)
        real(*paths)

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("number", [5, 32, 33, 1224])
def test_a_file_that_is_held_for_a_moment_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float], number: int
) -> None:
    target = tmp_path / "preset.json"
    target.write_text("old")
    refuse(monkeypatch, "replace", 6, number)
    files.write_text(target, "new")
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["preset.json"]
    assert len(waits) == 6


def test_one_that_stays_held_is_told_after_a_few_seconds_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    target = tmp_path / "preset.json"
    target.write_text("old")
    refuse(monkeypatch, "replace", 99, 32)
    with pytest.raises(PermissionError) as caught:
        files.write_text(target, "new")
    assert 3 < sum(waits) < 8
    assert "open in another program" in files.reason(caught.value)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["preset.json"]


def test_a_refusal_for_good_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    with pytest.raises(FileNotFoundError):
        files.rename(tmp_path / "a", tmp_path / "b")
    with pytest.raises(FileNotFoundError):
        files.unlink(tmp_path / "a")
    files.unlink(tmp_path / "a", missing_ok=True)
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(PermissionError(13, "no")))
    with pytest.raises(PermissionError) as caught:
        files.rename(tmp_path / "a", tmp_path / "b")
    assert "read-only" in files.reason(caught.value)
    assert waits == []


@pytest.mark.parametrize(
    "remove",
    [
        lambda path: files.unlink(path),
        lambda path: files.write_text(path, "new"),
        lambda path: files.remove_tree(path.parent),
    ],
)
def test_a_read_only_file_can_be_removed_and_replaced(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    waits: list[float],
    remove: Callable[[Path], object],
) -> None:
    path = tmp_path / "card" / "IMG_1.TXT"
    path.parent.mkdir()
    path.write_text("old")
    path.chmod(0o444)

    def asking_the_file(real: Callable[..., None], at: int) -> Callable[..., None]:
        def call(*paths: Path, **named: object) -> None:
            going = paths[at]
            folder = named.get("dir_fd")
            status = os.stat(going, dir_fd=folder) if os.path.lexists(path) else None  # type: ignore[arg-type]
            if status is not None and not status.st_mode & 0o200:
                raise refusal(going, 5)
            real(*paths, **named)

        return call

    monkeypatch.setattr(os, "unlink", asking_the_file(os.unlink, 0))
    monkeypatch.setattr(os, "replace", asking_the_file(os.replace, 1))
    remove(path)
    assert not path.exists() or path.read_text() == "new"
    assert waits == []


def test_a_folder_that_refuses_new_files_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    real = os.open

    def refused(path: object, flags: int, *mode: int, **named: object) -> int:
        if flags & os.O_CREAT:
            tries.append(path)
            raise refusal(path, 5)
        return real(path, flags, *mode, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(PermissionError):
        files.write_text(tmp_path / "Program Files.json", "x")
    assert len(tries) == 1


@pytest.mark.skipif(os.name != "posix", reason="Windows has no permissions of this kind")
def test_written_files_have_the_usual_permissions_whatever_the_writer_does(
    tmp_path: Path,
) -> None:
    plain, private = tmp_path / "plain", tmp_path / "lora.safetensors"
    plain.write_text("")

    def write_privately(path: Path) -> None:
        other = path.with_name("other")
        other.write_text("x")
        other.chmod(0o600)
        os.rename(other, path)

    files.write_with(private, write_privately)
    assert private.stat().st_mode == plain.stat().st_mode


def test_the_refusals_of_these_tests_bite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "fresh.txt").write_text("x")
    monkeypatch.setattr(files, "_WAITS", ())
    with momentary_refusals(monkeypatch) as refusals:
        with pytest.raises(PermissionError):
            files.rename(folder, tmp_path / "moved")
        with pytest.raises(PermissionError):
            files.write_text(tmp_path / "other.txt", "x")
        files.rename(folder, tmp_path / "moved")
    assert len(refusals.refused) == 2


@pytest.mark.parametrize(
    "name",
    ["con", "NUL.txt", "com1.tar.gz", "LPT\u00b9", "COM\u00b2.png", "conin$", "aux .txt", "prn "],
)
def test_names_of_devices_are_known(name: str) -> None:
    assert files.is_reserved_name(name)


@pytest.mark.parametrize("name", ["console", "com", "com10", "nullary.txt", "a.con", "lpt\u00bc"])
def test_other_names_are_not_taken_for_devices(name: str) -> None:
    assert not files.is_reserved_name(name)


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such permissions")
def test_files_get_the_permissions_of_the_umask_which_is_never_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Setting it back and forth would give files of other threads permissions of nobody's choice.
    mask = os.umask(0o027)
    monkeypatch.setattr(os, "umask", lambda _mask: pytest.fail("the umask was changed"))
    try:
        files.write_bytes(tmp_path / "a", b"a")
        files.write_with(tmp_path / "b", lambda path: (path.write_bytes(b"b"), path.chmod(0o600)))
    finally:
        monkeypatch.undo()
        os.umask(mask)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o640, 0o640]


def test_windows_is_asked_by_making_a_file_whether_a_folder_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """os.access says yes to every folder there."""
    assert files.can_write(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert not files.can_write(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    monkeypatch.setattr(files, "sys", SimpleNamespace(platform="win32"))
    assert files.can_write(tmp_path)
    assert os.listdir(tmp_path) == []

    def refuse_new(path: Path, flags: int, mode: int) -> int:
        raise refusal(path, 5)

    monkeypatch.setattr(os, "open", refuse_new)
    assert not files.can_write(tmp_path)
