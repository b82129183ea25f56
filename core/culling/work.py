"""What is done to one picture (or one text) as a whole, how it is undone, and its written form."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.culling.steps import Identity, Step, identity_of, out_of_bin

Raw = dict[str, Any]


@dataclass(frozen=True)
class NoteChange:
    """A change of one picture's note. whole: of its whole entry, else of the fields given."""

    folder: Path
    name: str
    before: Raw | None
    after: Raw | None
    whole: bool = True


@dataclass(frozen=True)
class Work:
    """Steps that happen all or not at all, with the notes that change when they did.

    pictures: each one's path before and after, None where it is in no folder of pictures.
    """

    steps: tuple[Step, ...] = ()
    notes: tuple[NoteChange, ...] = ()
    pictures: tuple[tuple[Path | None, Path | None], ...] = ()


Removal = Callable[[list[Step]], list[Step]]


def inverse(work: Work, remove: Removal) -> Work:
    """The work that undoes another. `remove` turns steps whose targets shall go into removals."""
    back = [_inverse(step) for step in reversed(work.steps)]
    leaving = [step for step in back if step.kind == "trash"]
    removals = iter(remove(leaving)) if leaving else iter(())
    steps = tuple(next(removals) if step.kind == "trash" else step for step in back)
    notes = tuple(replace(n, before=n.after, after=n.before) for n in reversed(work.notes))
    return Work(steps, notes, tuple((after, before) for before, after in work.pictures))


def _inverse(step: Step) -> Step:
    """The inverse of one step; one of kind "trash" has yet to be given its place there."""
    back = replace(step, source=step.target, target=step.source, temporary=None)
    if step.kind in ("move", "untrash", "unbin"):
        # Among the user's files it may have been edited since, by this program too. Moving the
        # edited one loses nothing.
        back = replace(back, identity=identity_of(step.target) or step.identity)
    match step.kind:
        case "trash":
            return replace(back, kind="untrash")
        case "untrash" | "unbin":
            return replace(back, kind="trash", exact=False)
        case "copy" if step.main:
            return replace(back, kind="trash", exact=True)
        case "copy":
            # A copied caption goes with its picture, also when it was edited and edited back.
            return replace(back, kind="trash", identity=identity_of(step.target))
        case "bin":
            return out_of_bin(step)
        case "text" if step.old is None:
            return replace(back, kind="trash", source=step.source, exact=True)
        case "text":
            return replace(step, old=step.new, new=step.old)
        case _:
            return back


def respell(work: Work, folder: Path, old: str, new: str) -> Work:
    """The work with what it puts into `folder` under the stem `old` put under `new`."""

    def spelled(path: Path) -> Path:
        if path.parent != folder or not path.name.startswith(old):
            return path
        return path.with_name(new + path.name[len(old) :])

    steps = tuple(
        step if step.kind == "text" else replace(step, target=spelled(step.target))
        for step in work.steps
    )
    notes = tuple(
        replace(note, name=spelled(note.folder / note.name).name) if note.after else note
        for note in work.notes
    )
    pictures = tuple((was, now and spelled(now)) for was, now in work.pictures)
    return Work(steps, notes, pictures)


class PathText:
    """Paths as the journal names them: relative to its folder where they are in it."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._inside = self._root if self._root.endswith(os.sep) else self._root + os.sep

    def text(self, path: Path) -> str:
        """A path as text."""
        full = str(path)
        if full == self._root:
            return "."
        return full[len(self._inside) :] if full.startswith(self._inside) else full

    def path(self, text: str) -> Path:
        """The path that a text means; the inverse of `text`."""
        return Path(self._root) if text == "." else Path(self._root, text)

    def encode(self, work: Work) -> Raw:
        """Work as plain JSON."""
        raw: Raw = {"steps": [self._encode_step(step) for step in work.steps]}
        if work.notes:
            raw["notes"] = [
                [self.text(note.folder), note.name, note.before, note.after, note.whole]
                for note in work.notes
            ]
        if work.pictures:
            raw["pictures"] = [
                [path and self.text(path) for path in pair] for pair in work.pictures
            ]
        return raw

    def decode(self, raw: Raw) -> Work:
        """The inverse of `encode`."""
        return Work(
            tuple(self._decode_step(step) for step in raw["steps"]),
            tuple(
                NoteChange(self.path(folder), name, before, after, whole)
                for folder, name, before, after, whole in raw.get("notes", ())
            ),
            tuple(
                (self._maybe_path(before), self._maybe_path(after))
                for before, after in raw.get("pictures", ())
            ),
        )

    def _maybe_path(self, text: str | None) -> Path | None:
        return None if text is None else self.path(text)

    def _encode_step(self, step: Step) -> Raw:
        raw: Raw = {"k": step.kind, "a": self.text(step.source), "b": self.text(step.target)}
        for key, path in _paths(step).items():
            if path is not None:
                raw[key] = self.text(path)
        for key, data in (("o", step.old), ("n", step.new)):
            if data is not None:
                raw[key] = base64.b64encode(data).decode("ascii")
        if step.identity is not None:
            raw["id"] = [step.identity.size, step.identity.mtime_ns, step.identity.inode]
        for key, value in (("m", step.main), ("e", step.exact), ("l", step.listing)):
            if value:
                raw[key] = value
        if step.since:
            raw["d"] = step.since
        return raw

    def _decode_step(self, raw: Raw) -> Step:
        return Step(
            kind=raw["k"],
            source=self.path(raw["a"]),
            target=self.path(raw["b"]),
            main=raw.get("m", False),
            identity=Identity(*raw["id"]) if "id" in raw else None,
            exact=raw.get("e", False),
            info=self._maybe_path(raw.get("i")),
            listing=raw.get("l", ""),
            spare=self._maybe_path(raw.get("s")),
            temporary=self._maybe_path(raw.get("t")),
            old=base64.b64decode(raw["o"]) if "o" in raw else None,
            new=base64.b64decode(raw["n"]) if "n" in raw else None,
            since=raw.get("d", 0.0),
            binned=self._maybe_path(raw.get("x")),
        )

    def learned(self, step: Step) -> Raw:
        """What doing a step has told about it, as fields of its written form."""
        fields = {"x": step.binned, "i": step.info}
        return {key: self.text(path) for key, path in fields.items() if path is not None}


def _paths(step: Step) -> dict[str, Path | None]:
    return {"i": step.info, "s": step.spare, "t": step.temporary, "x": step.binned}
