"""Locks as Windows has them: by byte, for one handle alone, and unreadable for others."""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from core import filelock

LK_UNLCK, LK_NBLCK = 0, 2


class Locks:
    """msvcrt's locks: a byte belongs to a handle until that is closed."""

    def __init__(self) -> None:
        self.owners: dict[tuple[int, int, int], int] = {}
        self.asked = 0

    def locking(self, handle: int, mode: int, count: int) -> None:
        """As msvcrt.locking, from where the handle stands."""
        assert count == 1
        status = os.fstat(handle)
        place = (status.st_dev, status.st_ino, os.lseek(handle, 0, os.SEEK_CUR))
        if mode == LK_NBLCK:
            self.asked += 1
            if place in self.owners:
                raise OSError(errno.EACCES, "lock violation")
            self.owners[place] = handle
        elif self.owners.pop(place, None) != handle:
            raise OSError(errno.EACCES, "not locked by this handle")

    def closed(self, handle: int) -> None:
        """What a closed handle held is free."""
        self.owners = {place: owner for place, owner in self.owners.items() if owner != handle}


@pytest.fixture
def locks(monkeypatch: pytest.MonkeyPatch) -> Locks:
    """The locks of a Windows that is not there."""
    made = Locks()
    close = os.close

    def let_go(handle: int) -> None:
        made.closed(handle)
        close(handle)

    monkeypatch.setattr(os, "close", let_go)
    return made


@pytest.fixture
def windows(locks: Locks, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """core.filelock as Windows imports it."""
    fake: Any = SimpleNamespace(locking=locks.locking, LK_NBLCK=LK_NBLCK, LK_UNLCK=LK_UNLCK)
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    name = "filelock_of_windows"
    spec = importlib.util.spec_from_file_location(name, filelock.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    with monkeypatch.context() as context:
        context.setattr(sys, "platform", "win32")
        spec.loader.exec_module(module)
    monkeypatch.setattr(module, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=_no_wait))
    yield module


def _no_wait(seconds: float) -> None:
    pass


def test_one_holds_and_the_others_see_it(windows: ModuleType, tmp_path: Path) -> None:
    place = tmp_path / "worker.lock"
    assert not windows.is_held(place)
    assert not place.exists()
    held = windows.hold(place, note="a run")
    assert held is not None
    assert windows.is_held(place)
    assert windows.hold(place, patience=0) is None
    held.release()
    assert not windows.is_held(place)
    again = windows.hold(place, patience=0)
    assert again is not None
    again.release()


def test_the_text_of_a_held_lock_can_be_read(
    windows: ModuleType, locks: Locks, tmp_path: Path
) -> None:
    """Windows refuses to read locked bytes, so none of the text is."""
    held = windows.hold(tmp_path / "worker.lock", note="a run")
    text = (tmp_path / "worker.lock").read_text(encoding="utf-8")
    assert text == f"{os.getpid()}\na run\n"
    ((_, _, byte),) = locks.owners
    assert byte > len(text)
    held.release()


def test_somebody_who_only_looks_is_not_taken_for_a_holder(
    windows: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "worker.lock"
    place.touch()
    looking = windows.hold(place)
    monkeypatch.setattr(windows.time, "sleep", lambda seconds: looking.release())
    assert not windows.is_held(place)


def test_a_shared_lock_is_a_whole_one_and_can_be_given_back(
    windows: ModuleType, tmp_path: Path
) -> None:
    place = tmp_path / "lease"
    place.touch()
    with open(place, "rb+") as first, open(place, "rb+") as second:
        assert windows.try_lock(first.fileno(), shared=True)
        assert not windows.try_lock(second.fileno(), shared=True)
        windows.unlock(first.fileno())
        assert windows.try_lock(second.fileno())
        windows.unlock(second.fileno())
