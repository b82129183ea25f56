"""The single changes that an operation consists of, each done in one step or not at all.

Whether a step has been done can be told from the disk alone, so that a run that was killed at any
point can be finished or taken back by whoever comes next.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from core import files
from core.culling import faults, system_bin, trash
from core.culling.moving import copy_file, exchange_files, link_file, move_file, write_new
from core.data.scan import REJECTED_FOLDER

Kind = Literal["move", "trash", "untrash", "bin", "unbin", "copy", "text"]
State = Literal["todo", "done", "lost", "blocked"]

# FAT keeps times in steps of two seconds, exFAT in steps of ten milliseconds.
_COARSE_NS = (2_000_000_000, 10_000_000)


class Refused(Exception):
    """A step must not be done; the text is the reason, as the rest of a sentence about a file.

    lost: the file is gone or another one lies in its place, so that trying again is of no use.
    """

    def __init__(self, reason: str, *, lost: bool = False) -> None:
        super().__init__(reason)
        self.lost = lost


@dataclass(frozen=True)
class Identity:
    """What tells a file from another one of the same name."""

    size: int
    mtime_ns: int
    inode: int

    def is_same(self, status: os.stat_result) -> bool:
        """Whether size and time are those, as they stay when a file is renamed or copied."""
        if status.st_size != self.size:
            return False
        apart = abs(status.st_mtime_ns - self.mtime_ns)
        return apart == 0 or any(
            apart < step and 0 in (status.st_mtime_ns % step, self.mtime_ns % step)
            for step in _COARSE_NS
        )

    def is_like(self, status: os.stat_result) -> bool:
        """Whether it is the same file, also when it has been written to since."""
        return (self.inode != 0 and status.st_ino == self.inode) or self.is_same(status)


@dataclass(frozen=True)
class Step:
    """One change.

    move: source to target on one volume. trash, untrash: the same into and out of a trash whose
    info file says `listing`. bin, unbin: into and out of the system's own bin, by way of the
    second name `spare` of the file. copy: by way of `temporary`. text: the bytes `old` of
    `source` become `new` by way of `temporary`; old None: the file is made.

    main: a picture, without which the rest of its unit is of no use. identity: of the source when
    the step was planned; None where any file is welcome. exact: refuse a file that was written to
    since.
    """

    kind: Kind
    source: Path
    target: Path
    main: bool = False
    identity: Identity | None = None
    exact: bool = False
    info: Path | None = None
    listing: str = ""
    spare: Path | None = None
    temporary: Path | None = None
    old: bytes | None = None
    new: bytes | None = None
    since: float = 0.0
    binned: Path | None = None


def look(path: Path) -> os.stat_result | None:
    """What lies at `path` itself, links not followed; None for nothing."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def identity_of(path: Path) -> Identity | None:
    """The identity of the file at `path`, None where there is none. Raises OSError."""
    status = look(path)
    return Identity(status.st_size, status.st_mtime_ns, status.st_ino) if status else None


def state_of(step: Step) -> State:
    """Where a step stands: to be done, done, its source lost, or something else in its way."""
    match step.kind:
        case "text":
            return _text_state(step)
        case "copy":
            return _copy_state(step)
        case "bin":
            return _bin_state(step)
        case _:
            return _move_state(step)


def do(step: Step) -> Step:
    """Do a step that is to be done; returns it with what became known by it.

    Raises Refused or OSError; then nothing has changed.
    """
    match step.kind:
        case "text":
            _change_text(step.source, step.old, step.new or b"", step.temporary)
        case "copy":
            assert step.temporary is not None
            step.target.parent.mkdir(parents=True, exist_ok=True)
            copy_file(step.source, step.target, step.temporary)
        case "bin":
            return _put_into_bin(step)
        case "trash":
            _check_source(step)
            assert step.info is not None
            trash.put(step.source, step.target, step.info, step.listing.encode("ascii"))
        case _:
            _check_source(step)
            step.target.parent.mkdir(parents=True, exist_ok=True)
            move_file(step.source, step.target)
    faults.point(f"{step.kind}-done")
    _tidy(step)
    return step


def settle(step: Step) -> None:
    """Clear away what a step that was begun, perhaps by a killed process, has left behind.

    Raises OSError.
    """
    if step.kind in ("move", "trash", "untrash", "unbin"):
        _finish_link(step)
    if step.kind in ("untrash", "unbin") and step.info is not None:
        ours = step.kind == "unbin" or trash.is_info(step.info, step.listing.encode("ascii"))
        if ours and look(step.source) is None:
            files.unlink(step.info, missing_ok=True)
    if step.kind == "bin":
        _drop_spare(step)
    if step.kind == "copy" and step.temporary is not None:
        files.unlink(step.temporary, missing_ok=True)
    if step.kind == "text":
        _settle_text(step)
    if step.source.parent.name == REJECTED_FOLDER:
        # Only when it is empty.
        with contextlib.suppress(OSError):
            step.source.parent.rmdir()


def _tidy(step: Step) -> None:
    """Clear away what a step that is done has left behind; a refusal does not undo the step."""
    with contextlib.suppress(OSError):
        settle(step)


def take_back(step: Step) -> None:
    """Undo a step of a unit that could not be done as a whole. Raises Refused or OSError."""
    match step.kind:
        case "text":
            if step.old is None:
                if _content(step.source) == step.new:
                    files.unlink(step.source)
            else:
                _change_text(step.source, step.new, step.old, step.temporary)
        case "copy":
            status = look(step.target)
            if status is not None and _is_copy(step, status):
                files.unlink(step.target)
        case "untrash":
            assert step.info is not None
            trash.put(step.target, step.source, step.info, step.listing.encode("ascii"))
        case "trash":
            move_file(step.target, step.source)
            assert step.info is not None
            files.unlink(step.info, missing_ok=True)
        case "bin":
            do(out_of_bin(step))
        case _:
            step.source.parent.mkdir(parents=True, exist_ok=True)
            move_file(step.target, step.source)
    faults.point(f"{step.kind}-taken-back")


# Moving.


def _move_state(step: Step) -> State:
    source, target = look(step.source), look(step.target)
    if source is None:
        if target is None or (step.identity and not step.identity.is_like(target)):
            return "lost"
        return "done"
    if target is None:
        return "todo"
    if source.st_ino and (source.st_dev, source.st_ino) == (target.st_dev, target.st_ino):
        # One file under two names: a move that was killed in its middle. With a single link it
        # is one name in two spellings.
        return "done" if source.st_nlink > 1 else "todo"
    moved = step.identity is not None and step.identity.is_same(target)
    if moved and step.identity is not None and step.identity.inode == target.st_ino:
        # Somebody has put a new file where the moved one was.
        return "done"
    return "blocked"


def _finish_link(step: Step) -> None:
    """Remove the first name of a file that was to be moved and was killed with two."""
    source, target = look(step.source), look(step.target)
    if (
        source is not None
        and target is not None
        and source.st_ino
        and source.st_nlink > 1
        and (source.st_dev, source.st_ino) == (target.st_dev, target.st_ino)
    ):
        files.unlink(step.source)


def _check_source(step: Step) -> None:
    status = look(step.source)
    if status is None:
        raise Refused("is no longer there", lost=True)
    if stat.S_ISDIR(status.st_mode):
        raise Refused("is now a folder", lost=True)
    if step.kind == "untrash" and step.info is not None:
        ours = trash.is_info(step.info, step.listing.encode("ascii"))
        known = step.identity is None or step.identity.is_same(status)
        if ours is False or (ours is None and not known):
            raise Refused("is no longer in the trash; another file has its name there", lost=True)
    elif step.identity is not None:
        known = step.identity.is_same(status) if step.exact else step.identity.is_like(status)
        if not known:
            raise Refused("was replaced by another program", lost=True)


# Copying.


def _copy_state(step: Step) -> State:
    target = look(step.target)
    if target is not None:
        return "done" if _is_copy(step, target) else "blocked"
    return "todo" if look(step.source) is not None else "lost"


def _is_copy(step: Step, target: os.stat_result) -> bool:
    if stat.S_ISLNK(target.st_mode):
        return step.source.is_symlink() and os.readlink(step.source) == os.readlink(step.target)
    return step.identity is not None and step.identity.is_same(target)


# The system's own bin.


def _bin_state(step: Step) -> State:
    if (source := look(step.source)) is not None:
        known = step.identity is None or step.identity.is_like(source)
        return "todo" if known else "blocked"
    assert step.spare is not None
    found = look(step.spare) is not None or _in_bin(step) is not None
    return "done" if found else "lost"


def _put_into_bin(step: Step) -> Step:
    # Where the bin is switched off or too small, the system deletes for good without telling.
    # The second name keeps the file until it was seen in the bin.
    _check_source(step)
    assert step.spare is not None
    step.spare.parent.mkdir(exist_ok=True)
    try:
        if look(step.spare) is None:
            link_file(step.source, step.spare)
        faults.point("spare-made")
        files.patiently(lambda: system_bin.send(step.source))
    except OSError as error:
        with contextlib.suppress(OSError):
            if look(step.source) is not None:
                files.unlink(step.spare, missing_ok=True)
            step.spare.parent.rmdir()
        raise OSError(str(error)) from error
    faults.point("binned")
    found = _in_bin(step)
    _tidy(step)
    return step if found is None else replace(step, binned=found.file, info=found.info)


def _drop_spare(step: Step) -> None:
    """Remove the second name of a file that is in the bin."""
    if _in_bin(step) is not None and step.spare is not None and look(step.source) is None:
        files.unlink(step.spare, missing_ok=True)
        with contextlib.suppress(OSError):
            step.spare.parent.rmdir()


def _in_bin(step: Step) -> system_bin.Binned | None:
    identity = step.identity or Identity(0, 0, 0)
    return system_bin.find(step.source, identity.size, identity.inode, step.since)


def out_of_bin(step: Step) -> Step:
    """The step that takes a file out of the bin again, wherever in it (or beside it) it lies."""
    back = replace(step, kind="unbin", target=step.source, spare=None, binned=None)
    if step.spare is not None and look(step.spare) is not None:
        return replace(back, source=step.spare, info=None)
    if step.binned is not None and look(step.binned) is not None:
        return replace(back, source=step.binned)
    found = _in_bin(step)
    if found is None:
        return replace(back, source=step.binned or step.spare or step.source, info=None)
    return replace(back, source=found.file, info=found.info)


# Texts.


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _text_state(step: Step) -> State:
    _settle_text(step)
    content = _content(step.source)
    if content == step.new:
        return "done"
    return "todo" if content == step.old else "blocked"


def _change_text(path: Path, old: bytes | None, new: bytes, temporary: Path | None) -> None:
    """Make `new` the content of `path` if it is `old`. Raises Refused when it is not."""
    assert temporary is not None
    now = _content(path)
    if now != old:
        raise Refused("was changed by another program" if now is not None else "was removed")
    files.unlink(temporary, missing_ok=True)
    write_new(temporary, new)
    faults.point("text-written")
    try:
        if old is None:
            move_file(temporary, path)
            return
        with contextlib.suppress(PermissionError):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        if not exchange_files(temporary, path):
            if _content(path) != old:
                raise Refused("was changed by another program")
            files.replace(temporary, path)
            return
        faults.point("text-exchanged")
        if _content(temporary) != old:
            exchange_files(temporary, path)
            raise Refused("was changed by another program")
    finally:
        files.unlink(temporary, missing_ok=True)


def _settle_text(step: Step) -> None:
    """Clear away the temporary file of a killed change, unless it is somebody's text."""
    beside = _content(step.temporary) if step.temporary is not None else None
    if step.temporary is None or beside is None:
        return
    if _content(step.source) in (step.new, step.old) and beside not in (step.new, step.old):
        partial = step.new is not None and step.new.startswith(beside)
        partial = partial or (step.old is not None and step.old.startswith(beside))
        if not partial:
            # Killed after swapping with a text that another program had just written.
            exchange_files(step.temporary, step.source)
    files.unlink(step.temporary, missing_ok=True)
