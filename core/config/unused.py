"""Settings that were changed and have no effect with the others as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.config.fields import SettingInfo
from core.config.job import SETTINGS, Job, get_path, info_of
from core.errors import Problem


def unused_problems(job: Job) -> Iterator[Problem]:
    """A warning for each setting that differs from its default while another keeps it from
    counting, as the conditions in the declarations say. What is plainly switched off as a whole (a
    concept, a sample prompt, what happens `never`) is passed over."""
    for info in SETTINGS:
        if not info.when:
            continue
        for path, item_path in _places(job, info):
            if get_path(job, path) != info.default and (why := _reason(job, info, item_path)):
                yield Problem(
                    code="setting_unused",
                    severity="warning",
                    title=f"{info.title} has no effect, because {why}.",
                    setting=path,
                )


def _places(job: Job, info: SettingInfo) -> Iterator[tuple[str, str]]:
    """Where a setting stands in the job, and the list item that each belongs to, or empty."""
    before, marker, after = info.path.partition("[]")
    if not marker:
        yield info.path, ""
        return
    for index, item in enumerate(get_path(job, before)):
        if getattr(item, "enabled", True):
            yield f"{before}.{index}{after}", f"{before}.{index}"


def _reason(job: Job, info: SettingInfo, item_path: str) -> str:
    """Which other setting keeps one from counting, in words; empty when none does."""
    for path, allowed in info.when.items():
        whole = f"{item_path}.{path}" if item_path else path
        value = get_path(job, whole)
        if value == "never":
            return ""
        if value not in allowed:
            other = info_of(whole)
            assert other is not None
            return f"{other.title} is {_shown(other, value)}"
    return ""


def _shown(info: SettingInfo, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if info.type == "choice" or value in info.labels:
        return info.label_of(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
