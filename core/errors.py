"""The one exception whose text is shown to people, and the problem record it carries."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, told in words that a person can act on.

    `title` is one sentence that names the file or field, what is wrong and what to do;
    `detail` may add facts, `hint` what to try. `setting` is a path such as
    `training.learning_rate` or `concepts.0.path`; `file` the file that it is about.
    `code` is stable and for programs (`picture_unreadable`, `loss_not_finite`, ...).
    """

    code: str
    title: str
    severity: Severity = "error"
    detail: str = ""
    hint: str = ""
    setting: str = ""
    file: str = ""

    def as_dict(self) -> dict[str, str]:
        """The problem as plain JSON-ready strings."""
        return asdict(self)

    def sentence(self) -> str:
        """Title, detail and hint, for the log and the command line.

        In one line; only a detail of several lines, such as the end of a log, comes below it.
        """
        if "\n" in self.detail:
            return " ".join(part for part in (self.title, self.hint) if part) + "\n" + self.detail
        return " ".join(part for part in (self.title, self.detail, self.hint) if part)


class UserError(Exception):
    """A failure that the user can cause and can mend; anything else is a bug.

    Carries one or more `Problem`s; `str()` gives their sentences, one a line.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(p.sentence() for p in problems))
        self.problems = problems

    @property
    def problem(self) -> Problem:
        """The first (often only) problem."""
        return self.problems[0]


def fail(code: str, title: str, **more: str) -> UserError:
    """A `UserError` of one problem, ready to be raised: `raise fail("code", "sentence", ...)`."""
    return UserError(Problem(code=code, title=title, **more))  # type: ignore[arg-type]


def shortened(value: object, most: int = 60) -> str:
    """A value as Python writes it, in at most `most` characters, for a sentence about it."""
    shown = repr(value[: most + 1]) if isinstance(value, str | list) else repr(value)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


class Stopped(Exception):
    """The user asked to stop; raised at a safe point and caught by whoever owns the run."""
