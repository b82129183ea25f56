"""What a run is made from, kept with each state so that a resume can name what has changed since.

Files count by their content, not by name, size or time: a picture retouched in place or another
model behind the same path gives another LoRA.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.config.job import Job
from core.data.cache import FileDigests
from core.data.plan import concept_name
from core.data.types import Item, Plan
from core.errors import Problem, UserError, fail
from core.families.base import BaseModelFile
from core.families.detect import vae_files, weight_files
from core.paths import user_path

# Of more pictures than these a state keeps one digest only, and a change is told without names.
_NAMED_PICTURES = 20_000
_NAMED_AT_MOST = 5
_PARTS = ("unet", "text_encoder", "vae")

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
# With another value of these, a state's tensors have no place to go.
_FITTED = (
    "training.optimizer",
    "training.ema.enabled",
    "lora.type",
    "lora.rank",
    "lora.targets",
    "lora.text_encoder",
)
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
    """Reads the files of the models in a thread while others load and cache."""

    def __init__(self, job: Job, base: BaseModelFile) -> None:
        self._digests = FileDigests()
        pool = ThreadPoolExecutor(1, thread_name_prefix="digests")
        self._models: Future[dict[str, str]] = pool.submit(_models, job, base, self._digests)
        pool.shutdown(wait=False)
        self._made: tuple[Plan, Sources] | None = None

    def sources(self, job: Job, plan: Plan) -> Sources:
        """What the run is made from; waits for the models. Raises UserError `source_unreadable`."""
        if self._made is None or self._made[0] is not plan:
            try:
                pictures, everything = _pictures(job, plan, self._digests)
                models = self._models.result()
            except OSError as error:
                raise fail(
                    "source_unreadable",
                    f"{error.filename} can no longer be read ({error.strerror}); put it back and "
                    "start again.",
                    file=str(error.filename),
                ) from error
            self._digests.save()
            made = Sources(_settings(job), models, pictures, everything, _wildcards(job, plan))
            self._made = plan, made
        return self._made[1]


def changes(before: Mapping[str, Any], now: Sources, accept_models: bool) -> list[Problem]:
    """Warnings for what has changed since the state of `before` (Sources.as_dict) was kept.

    Raises UserError `checkpoint_foreign` where the state does not fit the settings, and
    `model_changed` where another model lies in the place of the run's, unless `accept_models`.
    """
    settings = list(_changed_settings(before.get("job", {}), now.job))
    fitted = [(name, old, new) for name, old, new in settings if name.startswith(_FITTED)]
    if fitted:
        raise fail(
            "checkpoint_foreign",
            f"The checkpoint was made with other settings than job.json has now: "
            f"{_listed(fitted)}; set them back, or start a new run.",
            setting=fitted[0][0],
        )
    models = [
        part
        for part, digest in now.models.items()
        if before.get("models", {}).get(part, digest) != digest
    ]
    if models and not accept_models:
        raise UserError(_other_models(models, accepted=False))
    found = [_other_models(models, accepted=True)] if models else []
    return [*found, *_other_settings(settings), *_other_pictures(before, now)]


def _other_models(parts: list[str], accepted: bool) -> Problem:
    named = " and ".join(parts)
    have = "have" if len(parts) > 1 else "has"
    tail = "it goes on with what is there now" if accepted else "the LoRA would fit neither"
    return Problem(
        code="model_changed",
        severity="warning" if accepted else "error",
        title=f"The {named} {have} changed since this run began; {tail}.",
        hint=""
        if accepted
        else "Put the former files back, or resume with --accept-changes to go on all the same.",
        setting="model.base",
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


def _other_pictures(before: Mapping[str, Any], now: Sources) -> Iterator[Problem]:
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


def _changed_settings(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    for name, value in now.items():
        if name in before and before[name] != value and not name.startswith(_HARMLESS):
            yield name, before[name], value


def _listed(settings: list[tuple[str, Any, Any]]) -> str:
    return ", ".join(f"{name} was {_text(old)} and is {_text(new)}" for name, old, new in settings)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _settings(job: Job) -> dict[str, Any]:
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


def _wildcards(job: Job, plan: Plan) -> dict[str, str]:
    return {
        f"{name} of {concept_name(index, job.concepts[index])}": _short(lines)
        for index, by_name in plan.wildcards.items()
        for name, lines in by_name.items()
    }


def _short(value: object) -> str:
    text = repr(value).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _models(job: Job, base: BaseModelFile, digests: FileDigests) -> dict[str, str]:
    """A digest of each part of the base model, by what people call it. Raises OSError."""
    if base.layout == "single_file":
        found = {"base model": _digest([base.path], digests)}
    else:
        found = {}
        for part in _PARTS:
            if part != "vae" or not job.model.vae.strip():
                folder = base.path / part
                files = [*weight_files(folder), folder / "config.json"]
                found[f"base model's {part}"] = _digest(files, digests)
    if job.model.vae.strip():
        files, _prefix, config = vae_files(user_path(job.model.vae.strip()))
        found["VAE"] = _digest([*files, *([config] if config else [])], digests)
    return found


def _digest(files: Iterable[Path], digests: FileDigests) -> str:
    whole = hashlib.sha256()
    for file in files:
        whole.update(bytes.fromhex(digests.digest(file)))
    return whole.hexdigest()[:32]
