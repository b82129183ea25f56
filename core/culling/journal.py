"""The journal of one folder: what is about to change, written before anything does.

It is one append-only file of JSON lines below the user's data folder. An operation is a line
`{"run": "do", "id": ..., "units": [...]}`, flushed to the disk before the first file moves, and a
line `{"end": ...}` after the last; undo and redo are runs of the same operation. A run without
end was interrupted; whoever opens the journal next finishes it from what lies on the disk.
Long lists of units lie in files of their own beside the journal.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from core import files
from core.culling import faults, locks
from core.culling.moving import write_new
from core.errors import Problem, UserError, fail
from core.paths import user_data_dir

Run = Literal["do", "undo", "redo"]
Raw = dict[str, Any]

VERSION = 1
_INLINE_BYTES = 8192
_COMPACT_BYTES = 4 * 2**20


@dataclass
class Operation:
    """One thing that was done and can be undone.

    line: place and length of the line that holds its units as they were last run. plans: units
    that were planned anew in that run, and their lines. failed: units of that run that did not
    happen. learned: facts that became known in the run, (unit, step) -> fields.
    """

    id: int
    kind: str
    label: str
    line: tuple[int, int]
    plans: dict[int, tuple[int, int]] = field(default_factory=dict)
    failed: frozenset[int] = frozenset()
    learned: dict[tuple[int, int], Raw] = field(default_factory=dict)


@dataclass
class Journal:
    """The journal of `root`; everything but the stacks needs its lock held.

    undoable, redoable: operations, the next one last. running: the operation that was begun and
    not ended, and how it runs.
    """

    root: Path
    undoable: list[Operation] = field(default_factory=list)
    redoable: list[Operation] = field(default_factory=list)
    running: tuple[Operation, Run] | None = None
    problems: list[Problem] = field(default_factory=list)
    _read_to: int = 0
    _identity: tuple[int, int] = (0, 0)
    _last_id: int = 0
    _records: int = 0
    _open_file: int | None = None

    def __post_init__(self) -> None:
        self.folder = user_data_dir() / "history" / locks.folder_key(self.root)
        self.file = self.folder / "journal.jsonl"

    @property
    def next_id(self) -> int:
        """The number that the next new operation gets."""
        return self._last_id + 1

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the journal for the block and know what other windows wrote into it before."""
        with locks.held(self.folder / "lock", self.root):
            with self._told():
                self._open_file = self._opened()
            try:
                with self._told():
                    self._catch_up()
                yield
            finally:
                os.close(self._open_file)
                self._open_file = None

    def begin(
        self, run: Run, operation: Operation | None, kind: str, label: str, units: list[Raw]
    ) -> Operation:
        """Write down what is going to be done; returns the operation. Flushed when this returns.

        Raises UserError when it cannot be written; nothing may be done then.
        """
        number = operation.id if operation else self._last_id + 1
        record: Raw = {"run": run, "id": number}
        if operation is None:
            record |= {"kind": kind, "label": label}
        record["time"] = f"{datetime.now():%Y-%m-%dT%H:%M:%S}"
        with self._told():
            self._append(self._with_units(record, units), sync=True)
        faults.point("begun")
        assert self.running is not None
        return self.running[0]

    def plan_anew(self, operation: Operation, unit: int, raw: Raw) -> None:
        """Write down that a unit of the running operation is done in another way than planned."""
        with self._told():
            self._append({"plan": operation.id, "unit": unit, "to": raw}, sync=True)

    def finish(
        self,
        operation: Operation,
        failed: frozenset[int],
        learned: dict[tuple[int, int], Raw],
        outcome: Literal["done", "nothing", "hopeless"],
    ) -> None:
        """Write down how the running operation ended.

        outcome "nothing" leaves it where it was, "hopeless" forgets it. Not flushed: a lost end
        is found again from the disk.
        """
        record: Raw = {"end": operation.id, "outcome": outcome}
        if failed:
            record["failed"] = sorted(failed)
        if learned:
            record["learned"] = [[*place, facts] for place, facts in sorted(learned.items())]
        # Where the end cannot be written, the operation stays the running one, and the next
        # call finishes it from what lies on the disk.
        with contextlib.suppress(OSError):
            self._append(record, sync=False)

    def units(self, operation: Operation) -> list[Raw | None]:
        """The units of an operation as they were last run; None for those that failed."""
        record = self._record_at(operation.line)
        units: list[Raw | None] = list(self._units_of(record))
        for index, line in operation.plans.items():
            units[index] = self._record_at(line)["to"]
        for index in operation.failed:
            units[index] = None
        for (index, step), facts in operation.learned.items():
            unit = units[index]
            if unit is not None:
                unit["steps"][step] |= facts
        return units

    def compact_if_large(self) -> None:
        """Leave out what no undo or redo needs any more, when that is most of a large journal."""
        live = len(self.undoable) + len(self.redoable)
        if self._read_to < _COMPACT_BYTES or self._records < 3 * live or self.running:
            return
        temporary = self.file.with_name("journal.new")
        try:
            with self._told():
                files.unlink(temporary, missing_ok=True)
                write_new(temporary, b"".join(self._compacted()))
                # Windows does not replace a file that is open, not even by its own program.
                assert self._open_file is not None
                os.close(self._open_file)
                self._open_file = None
                files.replace(temporary, self.file)
                files.sync_folder(self.folder)
        except UserError:
            # The long journal is as good as the short one.
            return
        finally:
            if self._open_file is None:
                self._open_file = self._opened()
            with contextlib.suppress(OSError):
                files.unlink(temporary, missing_ok=True)
        self._catch_up()
        self._remove_unused_blobs()

    # Below: the file.

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise fail(
                "journal_unwritable",
                f"The undo journal {self.file} cannot be written ({error.strerror or error}), so "
                "nothing was changed; make room on that disk or change its permissions.",
                file=str(self.file),
            ) from error

    def _opened(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)
        with contextlib.suppress(FileNotFoundError):
            return os.open(self.file, flags)
        handle = os.open(self.file, flags | os.O_CREAT, 0o600)
        files.sync_folder(self.folder)
        return handle

    def _handle(self) -> int:
        assert self._open_file is not None, "the journal's lock is not held"
        return self._open_file

    def _catch_up(self) -> None:
        status = os.fstat(self._handle())
        identity = (status.st_dev, status.st_ino)
        if identity != self._identity or status.st_size < self._read_to:
            self.undoable.clear()
            self.redoable.clear()
            self.running = None
            self._identity = identity
            self._read_to = self._last_id = self._records = 0
        if status.st_size == 0:
            self._append({"limner": VERSION, "root": str(self.root)}, sync=False)
            return
        if status.st_size == self._read_to:
            return
        data = self._bytes_at(self._read_to, status.st_size - self._read_to)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            # Half a line: its writer was killed or its disk was full before anything was done.
            os.ftruncate(self._handle(), self._read_to + whole)
        for line in data[:whole].splitlines(keepends=True):
            self._take(line, self._read_to)
            self._read_to += len(line)

    def _append(self, record: Raw, sync: bool) -> None:
        line = (json.dumps(record, separators=(",", ":")) + "\n").encode("ascii")
        handle = self._handle()
        try:
            written = os.write(handle, line)
            if written < len(line):
                os.write(handle, line[written:])
            if sync:
                os.fsync(handle)
        except OSError:
            os.ftruncate(handle, self._read_to)
            raise
        self._take(line, self._read_to)
        self._read_to += len(line)

    def _bytes_at(self, start: int, length: int) -> bytes:
        handle = self._handle()
        os.lseek(handle, start, os.SEEK_SET)
        parts = []
        while length > 0 and (part := os.read(handle, length)):
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _record_at(self, line: tuple[int, int]) -> Raw:
        return json.loads(self._bytes_at(*line))

    def _with_units(self, record: Raw, units: list[Raw]) -> Raw:
        # One by one: encoding all at once would hold the interpreter, and the window with it.
        lines = [json.dumps(unit, separators=(",", ":")) for unit in units]
        if sum(map(len, lines)) <= _INLINE_BYTES:
            return {**record, "units": units}
        name = f"units-{record['id']}-{self._read_to}.json"
        # One of that name is from a run that was killed before its line was written.
        files.unlink(self.folder / name, missing_ok=True)
        write_new(self.folder / name, ("[\n" + ",\n".join(lines) + "\n]\n").encode("ascii"))
        files.sync_folder(self.folder)
        return {**record, "blob": name}

    def _units_of(self, record: Raw) -> list[Raw]:
        if "blob" not in record:
            return record["units"]
        with open(self.folder / record["blob"], "rb") as file:
            lines = [line.rstrip(b",\n") for line in file]
        if (lines[:1], lines[-1:]) != ([b"["], [b"]"]):
            raise ValueError("the list of units has no beginning or no end")
        return [json.loads(line) for line in lines[1:-1]]

    def _take(self, line: bytes, at: int) -> None:
        """Bring the stacks up to date with one line of the journal."""
        self._records += 1
        try:
            self._understand(json.loads(line), (at, len(line)))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            self.problems.append(
                Problem(
                    code="journal_damaged",
                    title=f"One entry of the undo journal {self.file} is damaged and left out.",
                    severity="warning",
                    detail=str(error),
                    file=str(self.file),
                )
            )

    def _understand(self, record: Raw, line: tuple[int, int]) -> None:
        if "run" in record:
            number = record["id"]
            if record["run"] == "do":
                operation = Operation(number, record["kind"], record["label"], line)
                self._last_id = max(self._last_id, number)
            else:
                stack = self.undoable if record["run"] == "undo" else self.redoable
                old = {each.id: each for each in stack}[number]
                operation = Operation(number, old.kind, old.label, line)
            self.running = operation, record["run"]
        elif "plan" in record and self.running:
            self.running[0].plans[record["unit"]] = line
        elif "end" in record and self.running:
            self._end(record)
        elif "kept" in record:
            operation = Operation(record["kept"], record["kind"], record["label"], line)
            (self.redoable if record["undone"] else self.undoable).append(operation)
            self._last_id = max(self._last_id, operation.id)

    def _end(self, record: Raw) -> None:
        assert self.running is not None
        operation, run = self.running
        self.running = None
        operation.failed = frozenset(record.get("failed", ()))
        operation.learned = {(u, s): facts for u, s, facts in record.get("learned", ())}
        source = {"do": None, "undo": self.undoable, "redo": self.redoable}[run]
        if source is not None and record["outcome"] != "nothing":
            source[:] = [each for each in source if each.id != operation.id]
        if record["outcome"] != "done":
            return
        (self.redoable if run == "undo" else self.undoable).append(operation)
        if run == "do":
            self.redoable.clear()

    def _compacted(self) -> Iterator[bytes]:
        yield json.dumps({"limner": VERSION, "root": str(self.root)}).encode("ascii") + b"\n"
        for undone, stack in ((False, self.undoable), (True, self.redoable)):
            for operation in stack:
                record: Raw = {
                    "kept": operation.id,
                    "kind": operation.kind,
                    "label": operation.label,
                    "undone": undone,
                }
                old = self._record_at(operation.line)
                if "blob" in old and not operation.failed and not operation.plans:
                    record |= {"blob": old["blob"]}
                if operation.learned or "blob" not in record:
                    units = [unit for unit in self.units(operation) if unit is not None]
                    record |= {"units": units}
                    record.pop("blob", None)
                yield json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"

    def _remove_unused_blobs(self) -> None:
        used = {
            self._record_at(operation.line).get("blob")
            for operation in (*self.undoable, *self.redoable)
        }
        for blob in self.folder.glob("units-*.json"):
            if blob.name not in used:
                with contextlib.suppress(OSError):
                    files.unlink(blob)
