"""Turning what the user asks for into works: which files move where, and which notes change."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from core.culling import trash
from core.culling.execute import problem_of
from core.culling.notes import Raw, raw_notes
from core.culling.places import Places, is_removal
from core.culling.steps import Refused, Step, identity_of
from core.culling.units import Unit, ending_of, free_stem, same_folder, units_of
from core.culling.work import NoteChange, Work, respell
from core.data.textfile import CaptionError, says
from core.errors import Problem

_MAX_TEXT = 64 * 2**20


@dataclass
class Plan:
    """The works of one operation, and why some pictures are not among them."""

    works: list[Work] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path, make: Callable[[], Work | None]) -> None:
        """Add the work that `make` gives, or the reason why there is none."""
        try:
            work = make()
        except (OSError, Refused) as error:
            self.problems.append(problem_of(path, error))
        else:
            if work is not None:
                self.works.append(work)


def plan_delete(pictures: Iterable[Path], places: Places) -> Plan:
    """Works that move the pictures and all that belongs to them into the trash."""
    plan = Plan()
    for unit in units_of(list(pictures)):
        plan.add(unit.pictures[0], partial(_delete, unit, plan, places))
    return plan


def plan_rename(picture: Path, stem: str) -> Plan:
    """The work that gives a picture and what belongs to it another stem in its folder."""
    plan = Plan()
    for unit in units_of([picture]):
        plan.add(picture, partial(_rename, unit, plan, stem))
    return plan


def plan_copy(pictures: Iterable[Path], target: Path, tag: str) -> Plan:
    """Works that copy pictures, and what belongs to them, into `target` under free names.

    tag: makes the temporary names in `target` this operation's own.
    """
    return _plan_transfer(pictures, target, tag, None)


def plan_move(pictures: Iterable[Path], target: Path, tag: str, places: Places) -> Plan:
    """Works that move pictures into `target`; between volumes by copy, the source to the trash."""
    return _plan_transfer(pictures, target, tag, places)


def plan_texts(
    changes: Mapping[Path, str | None], before: Mapping[Path, str | None], tag: str, places: Places
) -> Plan:
    """Works that write texts as UTF-8, or for None move their files into the trash; none for
    files that do not hold the text that they have in `before`."""
    plan = Plan()
    for number, (path, text) in enumerate(changes.items()):
        make = partial(_text, path, text, f"{tag}-{number}", places)
        plan.add(path, partial(_if_unchanged, path, before[path], make) if path in before else make)
    return plan


def plan_notes(changes: Mapping[Path, Raw]) -> Plan:
    """Works that set fields of pictures' notes, one for each folder; none where nothing changes."""
    plan = Plan()
    folders: dict[Path, dict[str, Raw]] = {}
    for picture, fields in changes.items():
        if os.path.lexists(picture):
            folders.setdefault(picture.parent, {})[picture.name] = fields
        else:
            gone = Refused("is no longer there", lost=True)
            plan.problems.append(problem_of(picture, gone))
    for folder, entries in folders.items():
        before = raw_notes(folder, entries)
        notes = []
        for name, fields in entries.items():
            old = {key: before[name].get(key) for key in fields}
            if any((old[key] or None) != (value or None) for key, value in fields.items()):
                notes.append(NoteChange(folder, name, old, dict(fields), whole=False))
        if notes:
            pictures = tuple((folder / note.name, folder / note.name) for note in notes)
            plan.works.append(Work((), tuple(notes), pictures))
    return plan


def replanned(work: Work, step: Step, error: OSError, places: Places) -> Work | None:
    """Another way to do a work that failed at `step`, or None when there is no other.

    A removal gets another name or place; a file that comes into a folder a free name.
    """
    clash = error.errno == errno.EEXIST
    if is_removal(step):
        if not clash and not places.avoid(step):
            return None
        others = iter(places.removals([s for s in work.steps if is_removal(s)]))
        steps = tuple(next(others) if is_removal(s) else s for s in work.steps)
        return replace(work, steps=steps)
    if not clash or step.kind == "text" or not _may_respell(work):
        return None
    folder = step.target.parent
    coming = [s for s in work.steps if s.target.parent == folder and s.kind != "text"]
    stem = next((s for s in coming if s.main), coming[0]).target.stem
    endings = [s.target.name[len(stem) :] for s in coming if s.target.name.startswith(stem)]
    if not endings:
        return None
    return respell(work, folder, stem, free_stem(folder, stem, endings))


def _may_respell(work: Work) -> bool:
    """Whether the pictures come from elsewhere, so that any name is better than none."""
    mains = [step for step in work.steps if step.main]
    return bool(mains) and all(s.source.parent != s.target.parent for s in mains)


def _present(unit: Unit, plan: Plan) -> Unit:
    """The unit without pictures that are gone. Raises Refused when none is left."""
    there = [path for path in unit.pictures if os.path.lexists(path)]
    if not there:
        raise Refused("is no longer there", lost=True)
    for path in unit.pictures:
        if path not in there:
            plan.problems.append(problem_of(path, Refused("is no longer there", lost=True)))
    return replace(unit, pictures=tuple(there))


def _source_steps(unit: Unit) -> list[Step]:
    """A step for each file of a unit, to be given kind and target. Raises OSError."""
    steps = []
    for path in (*unit.pictures, *unit.sidecars):
        identity = identity_of(path)
        if identity is not None:
            steps.append(Step("move", path, path, path in unit.pictures, identity))
    return steps


def _whole_notes(unit: Unit) -> list[tuple[str, Raw]]:
    entries = raw_notes(unit.folder, [path.name for path in unit.pictures])
    return [(name, entry) for name, entry in entries.items() if entry]


def _delete(unit: Unit, plan: Plan, places: Places) -> Work:
    unit = _present(unit, plan)
    notes = tuple(NoteChange(unit.folder, name, old, None) for name, old in _whole_notes(unit))
    steps = places.removals(_source_steps(unit))
    return Work(tuple(steps), notes, tuple((path, None) for path in unit.pictures))


def _rename(unit: Unit, plan: Plan, stem: str) -> Work | None:
    if stem == unit.stem:
        return None
    unit = _present(unit, plan)

    def spelled(path: Path) -> Path:
        return path.with_name(stem + ending_of(unit.stem, path.name))

    steps = [replace(step, target=spelled(step.source)) for step in _source_steps(unit)]
    steps += _copies(unit.shared, spelled)
    notes = []
    for name, entry in _whole_notes(unit):
        new = spelled(unit.folder / name).name
        notes.append(NoteChange(unit.folder, name, entry, None))
        notes.append(_arriving(unit.folder, new, entry))
    pictures = tuple((path, spelled(path)) for path in unit.pictures)
    return Work(tuple(steps), tuple(notes), pictures)


def _copies(paths: Iterable[Path], spelled: Callable[[Path], Path]) -> list[Step]:
    steps = []
    for path in paths:
        target = spelled(path)
        beside = target.with_name(f".limner-copy-{target.name}")
        steps.append(Step("copy", path, target, identity=identity_of(path), temporary=beside))
    return steps


def _arriving(folder: Path, name: str, entry: Raw) -> NoteChange:
    before = raw_notes(folder, [name])[name]
    return NoteChange(folder, name, before or None, entry)


def _plan_transfer(pictures: Iterable[Path], target: Path, tag: str, places: Places | None) -> Plan:
    plan, taken = Plan(), set[str]()
    volume = trash.volume_of(target)
    for unit in units_of(list(pictures)):
        if same_folder(unit.folder, target):
            continue

        def make(unit: Unit = unit) -> Work:
            there = _present(unit, plan)
            files = (*there.pictures, *there.sidecars, *there.shared)
            endings = [ending_of(there.stem, path.name) for path in files]
            stem = free_stem(target, there.stem, endings, taken)
            taken.add(stem)
            same = places is not None and trash.volume_of(there.folder) == volume
            return _transfer(there, target, stem, tag, places, rename=same)

        plan.add(unit.pictures[0], make)
    return plan


def _transfer(
    unit: Unit, target: Path, stem: str, tag: str, places: Places | None, rename: bool
) -> Work:
    def spelled(path: Path) -> Path:
        return target / (stem + ending_of(unit.stem, path.name))

    def copy(step: Step) -> Step:
        goal = spelled(step.source)
        temporary = target / f".limner-{tag}-{goal.name}"
        return replace(step, kind="copy", target=goal, temporary=temporary)

    own = _source_steps(unit)
    shared = [copy(Step("copy", p, p, identity=identity_of(p))) for p in unit.shared]
    if rename:
        steps = [replace(step, target=spelled(step.source)) for step in own] + shared
    else:
        steps = [copy(step) for step in own] + shared
        if places is not None:
            steps += places.removals(own)
    notes = []
    for name, entry in _whole_notes(unit):
        if places is not None:
            notes.append(NoteChange(unit.folder, name, entry, None))
        notes.append(_arriving(target, spelled(unit.folder / name).name, entry))
    pictures = tuple((None if places is None else path, spelled(path)) for path in unit.pictures)
    return Work(tuple(steps), tuple(notes), pictures)


def _if_unchanged(path: Path, expected: str | None, make: Callable[[], Work | None]) -> Work | None:
    # First, so that what changes between the two is seen when the work is done.
    work = make()
    if work is None:
        return None
    try:
        same = says(path, expected or "")
    except FileNotFoundError:
        same = not expected
    except CaptionError:
        same = False
    if not same:
        raise Refused("was changed by another program", lost=True)
    return work


def _text(path: Path, text: str | None, tag: str, places: Places) -> Work | None:
    named = path
    if text is not None and path.is_symlink():
        # The link stays; what it leads to is the text.
        path = Path(os.path.realpath(path))
    identity = identity_of(path)
    if text is None:
        if identity is None:
            return None
        steps = places.removals([Step("move", path, path, identity=identity)])
        return Work(tuple(steps), (), ((named, named),))
    if identity is not None and identity.size > _MAX_TEXT:
        raise Refused("is far too large for a caption", lost=True)
    old = None if identity is None else path.read_bytes()
    new = text.encode("utf-8", "surrogateescape")
    if old == new:
        return None
    temporary = path.with_name(f".limner-{tag}.tmp")
    return Work(
        (Step("text", path, path, temporary=temporary, old=old, new=new),), (), ((named, named),)
    )
