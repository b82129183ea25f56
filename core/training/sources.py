"""What a run is made from, kept with each state so that a resume can name what has changed since.

Files count by their content, not by name, size or time: a picture retouched in place or another
model behind the same path gives another LoRA.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.config.job import Job
from core.data.cache import FileDigests
from core.data.plan import concept_name
from core.data.types import Item, Plan
from core.errors import Problem, UserError, fail
from core.families.base import BaseModelFile, Part
from core.families.detect import vae_files
from core.families.folders import part_files
from core.families.registry import family
from core.paths import user_path

# Of more pictures than these a state keeps one digest only, and a change is told without names.
_NAMED_PICTURES = 20_000
_NAMED_AT_MOST = 5
_MODEL = "base model"
_TOKENIZER = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model")

# Settings that say where results go and what is shown, not what is learned.
_HARMLESS = (
    "name",
    "limner",
    "sampling.",
    "checkpoints.",
    "model.base",
    "model.vae",
    "model.output",
    "model.allow_download",
    "training.cache_limit",
    "training.validation.",
)
# With another value of these, a state's weights have no place to go.
_SHAPE = ("lora.type", "lora.rank", "lora.targets", "lora.text_encoder")
# With another value of these, the weights fit, but what the state knows beside them does not.
BEGUN_AGAIN = ("training.optimizer", "training.ema.enabled")
log = logging.getLogger(__name__)

_KINDS = ("picture", "mask", "caption", "crop")


@dataclass(frozen=True)
class Sources:
    """What a run is made from.

    job: every setting by its dotted name. models: part -> digest of its files. pictures:
    `concept/file name (resolution)` -> digests of the picture, its mask, its captions and its
    crop; empty where there are too many. everything: a digest of all pictures. wildcards: name ->
    digest of its lines.
    """

    job: Mapping[str, Any]
    models: Mapping[str, str]
    pictures: Mapping[str, list[str]]
    everything: str
    wildcards: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


class Reading:
    """What a run is made from, read while the model loads.

    The models are read in a thread; pictures by `look`, when they are prepared: what is deleted or
    changed later is not what is trained.
    """

    def __init__(self, job: Job, base: BaseModelFile) -> None:
        self._settings = settings_of(job)
        self._models: Future[dict[str, str]] = Future()
        self._pictures: dict[str, list[str]] = {}
        self._everything = ""
        self._wildcards: dict[str, str] = {}
        work = threading.Thread(target=self._read, args=(job, base), name="digests", daemon=True)
        work.start()

    def _read(self, job: Job, base: BaseModelFile) -> None:
        digests = FileDigests()
        try:
            self._models.set_result(_models(job, base, digests))
        except BaseException as error:
            self._models.set_exception(error)
        digests.save()

    def look(self, job: Job, plan: Plan) -> None:
        """Read what the plan is made of. Raises UserError `source_unreadable`."""
        # Preparing has saved most digests a moment ago.
        digests = FileDigests()
        try:
            self._pictures, self._everything = _pictures(job, plan, digests)
        except OSError as error:
            raise _unreadable(error) from error
        finally:
            digests.save()
        self._wildcards = _wildcards_of(job, plan)

    def models(self) -> dict[str, str]:
        """Part of the model -> digest. Raises UserError `source_unreadable`."""
        try:
            return self._models.result()
        except OSError as error:
            raise _unreadable(error) from error

    def sources(self) -> Sources:
        """All of it. A model that could not be read is left out: no checkpoint is lost for that."""
        try:
            models = self.models()
        except UserError as error:
            log.warning("%s", error.problem.sentence())
            models = {}
        return Sources(self._settings, models, self._pictures, self._everything, self._wildcards)


def _unreadable(error: OSError) -> UserError:
    return fail(
        "source_unreadable",
        f"{error.filename} can no longer be read ({error.strerror}); put it back and start again.",
        file=str(error.filename),
    )


def settle(
    before: Mapping[str, Any], job: Job, models: Mapping[str, str], accept: bool
) -> list[Problem]:
    """Warnings for settings and models that have changed since `before` (Sources.as_dict).

    Raises UserError `checkpoint_foreign` where the state has no place with the settings, and
    `model_changed` or `optimizer_changed` where the two do not go together, unless `accept`.
    """
    settings = _changed_settings(before.get("job", {}), settings_of(job))
    shape = [one for one in settings if one[0] in _SHAPE]
    if shape:
        raise fail(
            "checkpoint_foreign",
            f"The checkpoint was made with other settings than job.json has now: "
            f"{_listed(shape)}; set them back, or start a new run.",
            setting=shape[0][0],
        )
    known: Mapping[str, str] = before.get("models", {})
    parts = [part for part, digest in models.items() if known.get(part, digest) != digest]
    begun = [one for one in settings if one[0] in BEGUN_AGAIN]
    setting = "model.vae" if parts == ["VAE"] and job.model.vae.strip() else "model.base"
    found = [_other_models(parts, setting, accept)] if parts else []
    found += [_begun_again(begun, accept)] if begun else []
    if not accept and found:
        raise UserError(*found)
    rest = [one for one in settings if one not in begun]
    return [*found, *_other_settings(rest)]


def _other_models(parts: list[str], setting: str, accepted: bool) -> Problem:
    named = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    have = "have" if len(parts) > 1 else "has"
    tail = (
        "the rest is trained with what is there now"
        if accepted
        else "what was learned so far was not made for what is there now"
    )
    return Problem(
        code="model_changed",
        severity="warning" if accepted else "error",
        title=f"The {named} {have} changed since this run began; {tail}.",
        hint="" if accepted else "Put the former files back, or accept the change.",
        setting=setting,
    )


def _begun_again(settings: list[tuple[str, Any, Any]], accepted: bool) -> Problem:
    tail = "begins without what the checkpoint knows" if accepted else "cannot go on from it"
    return Problem(
        code="optimizer_changed",
        severity="warning" if accepted else "error",
        title=f"job.json has changed since this run began ({_listed(settings)}); that part of the "
        f"training {tail}.",
        hint="" if accepted else "Set it back, or accept the change to begin that part again.",
        setting=settings[0][0],
    )


def _other_settings(settings: list[tuple[str, Any, Any]]) -> Iterator[Problem]:
    if settings:
        yield Problem(
            code="settings_changed",
            severity="warning",
            title="job.json has changed since this run began, and the rest is trained by it: "
            f"{_listed(settings)}.",
            setting=settings[0][0],
        )


def other_pictures(before: Mapping[str, Any], now: Sources) -> Iterator[Problem]:
    """A warning that names pictures, masks, captions and wildcards that have changed."""
    old: Mapping[str, list[str]] = before.get("pictures", {})
    new = now.pictures
    told: list[str] = []
    if old and new:
        told += [f"{name} (new)" for name in new if name not in old]
        told += [f"{name} (gone)" for name in old if name not in new]
        for name in new:
            if name in old and old[name] != new[name]:
                kinds = [k for k, a, b in zip(_KINDS, old[name], new[name], strict=False) if a != b]
                told.append(f"{name} ({', '.join(kinds)})")
    lists: Mapping[str, str] = before.get("wildcards", {})
    names = {*lists, *now.wildcards}
    told += [f"wildcard {n}" for n in sorted(names) if lists.get(n) != now.wildcards.get(n)]
    if not told and before.get("everything", now.everything) == now.everything:
        return
    shown = told[:_NAMED_AT_MOST]
    more = len(told) - len(shown)
    listed = f": {', '.join(shown)}{f' and {more} more' if more else ''}" if shown else ""
    yield Problem(
        code="pictures_changed",
        severity="warning",
        title="Pictures or captions have changed since this run began, and the rest is trained "
        f"with what is there now{listed}.",
        detail="\n".join(told) if more else "",
    )


def begun_again(before: Mapping[str, Any], job: Job) -> set[str]:
    """Which of BEGUN_AGAIN have another value than they had."""
    return {name for name, *_ in _changed_settings(before.get("job", {}), settings_of(job))} & {
        *BEGUN_AGAIN
    }


def _changed_settings(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    return [
        (name, before[name], value)
        for name, value in now.items()
        if name in before and before[name] != value and not name.startswith(_HARMLESS)
    ]


def _listed(settings: list[tuple[str, Any, Any]]) -> str:
    return ", ".join(f"{name} was {_text(old)} and is {_text(new)}" for name, old, new in settings)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def settings_of(job: Job) -> dict[str, Any]:
    """Every setting by its dotted name; concepts' by their place in the list."""
    found: dict[str, Any] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                walk(part, f"{name}.{key}" if name else key)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, part in enumerate(value):
                walk(part, f"{name}.{number}")
        else:
            found[name] = value

    walk(json.loads(job.model_dump_json()), "")
    return found


def _pictures(job: Job, plan: Plan, digests: FileDigests) -> tuple[dict[str, list[str]], str]:
    every = hashlib.blake2b(digest_size=16)
    named: dict[str, list[str]] = {}
    items = (*plan.items, *plan.validation)
    for item in items:
        name = _name(job, item)
        facts = [
            digests.digest(item.path)[:16],
            digests.digest(item.mask)[:16] if item.mask is not None else "",
            _short(item.captions),
            _short((str(item.placement), item.focus)),
        ]
        every.update(repr((item.id, name, facts)).encode("utf-8", "surrogatepass"))
        if len(items) <= _NAMED_PICTURES:
            named[name] = facts
    return named, every.hexdigest()


def _name(job: Job, item: Item) -> str:
    place = user_path(job.concepts[item.concept].path)
    try:
        inside = item.path.relative_to(place).as_posix()
    except ValueError:
        inside = item.path.name
    sizes = f" at {item.resolution}" if item.resolution != job.training.resolution else ""
    name = f"{concept_name(item.concept, job.concepts[item.concept])}/{inside}{sizes}"
    # File names may hold bytes that no text format takes.
    return name.encode("utf-8", "backslashreplace").decode()


def _wildcards_of(job: Job, plan: Plan) -> dict[str, str]:
    return {
        f"{name} of {concept_name(index, job.concepts[index])}": _short(lines)
        for index, by_name in plan.wildcards.items()
        for name, lines in by_name.items()
    }


def _short(value: object) -> str:
    text = repr(value).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _models(job: Job, base: BaseModelFile, digests: FileDigests) -> dict[str, str]:
    """A digest of each part of the model, by what people call it. Raises OSError, UserError."""
    parts = family(base.family).info.parts
    called = {part: _MODEL if part.role == "denoiser" else part.title for part in parts}
    other_vae = job.model.vae.strip()
    found = {}
    for part in parts:
        if part.role == "vae" and other_vae:
            continue
        if files := _files_of(base, part):
            found[called[part]] = _digest(files, digests)
        elif part.role != "text":
            # Its own VAE may be given up for another file, and taken up again.
            found[called[part]] = _digest([base.path], digests)
    # A single file may be told what it predicts by another one beside it.
    found[_MODEL] += f" {base.prediction_type} {base.zero_terminal_snr}"
    if other_vae:
        files, _prefix, config = vae_files(user_path(other_vae))
        own = _digest([*files, *([config] if config else [])], digests)
        found |= {called[part]: own for part in parts if part.role == "vae"}
    return found


def _files_of(base: BaseModelFile, part: Part) -> list[Path]:
    """The files that a part depends on; none where it is inside of a single file."""
    own = part_files(base, part)
    if own is None:
        return []
    others = [own.config]
    if part.role == "denoiser":
        others.append(base.path / "scheduler" / "scheduler_config.json")
    if own.tokenizer is not None:
        others += [own.tokenizer / name for name in _TOKENIZER]
    return [*own.weights, *(file for file in others if file.is_file())]


def _digest(files: Iterable[Path], digests: FileDigests) -> str:
    whole = hashlib.sha256()
    for file in files:
        whole.update(bytes.fromhex(digests.digest(file)))
    return whole.hexdigest()[:32]
