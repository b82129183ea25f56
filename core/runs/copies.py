"""What pre-flight says of pictures that are there twice, by what they are there for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from core.config.job import Job
from core.data.better import Why
from core.data.duplicates import DuplicateGroup, Duplicates, Member
from core.data.plan import concept_name
from core.errors import Problem

# So many groups of duplicates of each kind are named one by one; the rest is only counted.
GROUPS_NAMED = 20

_REASONS: dict[Why, str] = {
    "larger": "which has the most pixels",
    "lossless": "which is stored without loss",
    "less_compressed": "which is the least compressed",
    "older": "which is the oldest file",
    "sharper": "which is the sharpest",
    "first": "",
}


def duplicate_problems(job: Job, found: Duplicates) -> list[Problem]:
    """Warnings about pictures that are there twice.

    Copies that are learned, or measured, are named group by group. Those of prior pictures do
    little harm and make one line, and so do pictures that are both learned and prior ones.
    """
    problems = []
    named: Counter[str] = Counter()
    prior: list[DuplicateGroup] = []
    learned: list[DuplicateGroup] = []
    for group in sorted(found.groups, key=_weight):
        if group.leaks:
            if len({member.path for member in group.members}) == 1:
                continue  # the very same file; planning has told so already
            problem = _leak(job, group)
        elif "prior" in (kinds := {job.concepts[index].kind for index in group.concepts}):
            (learned if "train" in kinds else prior).append(group)
            continue
        else:
            problem = _copies(job, group)
        named[problem.code] += 1
        if named[problem.code] <= GROUPS_NAMED:
            problems.append(problem)
    for code, number in named.items():
        if number > GROUPS_NAMED:
            problems.append(
                Problem(
                    code=code,
                    severity="warning",
                    title=f"{number - GROUPS_NAMED} more groups of pictures are of that kind; "
                    "the viewer shows similar pictures together.",
                    setting="concepts",
                )
            )
    if learned:
        problems.append(_learned_and_prior(job, learned))
    if prior:
        problems.append(_prior_copies(job, prior))
    return problems


def _weight(group: DuplicateGroup) -> tuple[bool, bool, bool]:
    return (not group.leaks, not group.exact, len(group.concepts) == 1)


def _leak(job: Job, group: DuplicateGroup) -> Problem:
    trained = next(member for member in group.members if not member.validation)
    measured = next(member for member in group.members if member.validation)
    kind = "is trained on too" if group.exact else "is nearly the same as one trained on"
    return Problem(
        code="validation_copied",
        severity="warning",
        title=(
            f"{measured.path.name} of {_name(job, measured)} is for validation but {kind} "
            f"({trained.path.name} of {_name(job, trained)}), so the validation loss looks "
            "too good; remove one."
        ),
        setting=f"concepts.{measured.concept}.path",
        file=str(measured.path),
    )


def _copies(job: Job, group: DuplicateGroup) -> Problem:
    best = group.members[group.best]
    others = [member for member in group.members if member is not best]
    what = "the same picture" if group.exact else "nearly the same picture"
    measured = group.members[0].validation
    effect = "counts more often in the validation loss" if measured else "is learned more often"
    if group.exact:
        advice = "remove all but one, or lower their repeats"
    elif reason := _REASONS[group.why]:
        advice = f"keep {best.path.name}, {reason}"
    else:
        advice = f"keep one, such as {best.path.name}"
    return Problem(
        code="duplicates_exact" if group.exact else "duplicates_near",
        severity="warning",
        title=f"{_listed(job, group)} are {what}, which {effect} so; {advice}.",
        detail=""
        if len(group.members) <= 3
        else ", ".join(str(m.path) for m in group.members[:10]),
        setting=f"concepts.{others[0].concept}.path",
        file=str(others[0].path),
    )


def _learned_and_prior(job: Job, groups: Sequence[DuplicateGroup]) -> Problem:
    """The warning about pictures that are learned while their own prior holds against it."""
    every = (member for group in groups for member in group.members)
    prior = _each_once(m for m in every if job.concepts[m.concept].kind == "prior")
    first, one = prior[0], len(prior) == 1
    return Problem(
        code="prior_learned",
        severity="warning",
        title=f"{len(prior)} prior {'picture' if one else 'pictures'} of {_names(job, prior)} "
        f"{'is' if one else 'are'} learned as well, such as {first.path.name}, and keeping what "
        f"the base model makes of {'it' if one else 'them'} works against that; remove "
        f"{'it' if one else 'them'} from one of the concepts.",
        detail="\n".join(str(member.path) for member in prior),
        setting=f"concepts.{first.concept}.path",
        file=str(first.path),
    )


def _prior_copies(job: Job, groups: Sequence[DuplicateGroup]) -> Problem:
    """The warning about prior pictures that are there several times."""
    copies = _each_once(m for g in groups for m in g.members if m is not g.members[g.best])
    first, one = copies[0], len(copies) == 1
    return Problem(
        code="prior_copied",
        severity="warning",
        title=f"{len(copies)} prior {'picture' if one else 'pictures'} of {_names(job, copies)} "
        f"{'is a copy or nearly a copy of another' if one else 'are copies or nearly copies'}"
        f"{'' if one else ' of others'}, such as {first.path.name}, and "
        f"{'counts' if one else 'count'} again when the base model's knowledge is kept; remove "
        f"{'it' if one else 'them'} if that is not meant.",
        detail="\n".join(str(member.path) for member in copies),
        setting=f"concepts.{first.concept}.path",
        file=str(first.path),
    )


def _each_once(members: Iterable[Member]) -> list[Member]:
    return list({member.path: member for member in members}.values())


def _listed(job: Job, group: DuplicateGroup) -> str:
    shown = [str(member.path.name) for member in group.members[:3]]
    if len({member.path.name for member in group.members[:3]}) < len(shown):
        # Names alone would not tell them apart.
        shown = [f"{member.path.parent.name}/{member.path.name}" for member in group.members[:3]]
    more = len(group.members) - len(shown)
    last = f"{more} more" if more else shown.pop()
    return f"{', '.join(shown)} and {last} ({_names(job, group.members)})"


def _names(job: Job, members: Sequence[Member]) -> str:
    return ", ".join(dict.fromkeys(_name(job, member) for member in members))


def _name(job: Job, member: Member) -> str:
    return concept_name(member.concept, job.concepts[member.concept])
