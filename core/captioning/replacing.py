"""Find and replace in captions, plain or by a regular expression that cannot hang the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.captioning.tags import Change, each_line, without
from core.data.scan import StopCheck, ask_stop
from core.data.tags import split_parts
from core.errors import fail

if TYPE_CHECKING:
    import regex

# A pattern that needs longer for one caption grows without bound with its length.
_SECONDS_A_LINE = 0.25
_ASK_EVERY = 64


@dataclass(frozen=True)
class Search:
    """What to find and what to put in its place.

    regular: `find` is a regular expression, `\\1` or `\\g<name>` in `replace` stand for its groups.
    whole: only whole words of a plain text, or whole tags with `tags`. tags: look at each tag
    by itself. capitals: capitals matter.
    """

    find: str
    replace: str = ""
    regular: bool = False
    capitals: bool = False
    whole: bool = False
    tags: bool = False


def replacer(search: Search) -> Callable[[str], str]:
    """A function from text to text that does the replacing, line by line.

    Line ends are never touched. With `tags`, a tag that becomes empty is removed with its comma.
    Raises UserError `bad_pattern` here, `slow_pattern` when called.
    """
    import regex

    if not search.find:
        return lambda text: text
    pattern = compile_search(search)
    template = search.replace if search.regular else search.replace.replace("\\", "\\\\")

    def substitute(piece: str) -> str:
        try:
            return str(pattern.sub(template, piece, timeout=_SECONDS_A_LINE, concurrent=True))
        except TimeoutError:
            raise fail(
                "slow_pattern",
                f"The pattern {search.find} takes too long; avoid repeats inside repeats such as "
                "(a+)+.",
            ) from None
        except (IndexError, ValueError, regex.error) as error:
            raise _bad("replacement", search.replace, error) from None

    def in_tags(line: str) -> str:
        parts = split_parts(line)
        drop = set()
        for index, part in enumerate(parts):
            tag = part.strip()
            after = substitute(tag) if tag else tag
            if not after.strip() and tag:
                drop.add(index)
            elif after != tag:
                parts[index] = part.replace(tag, after)
        return without(parts, drop) if drop else ",".join(parts)

    return lambda text: each_line(text, in_tags if search.tags else substitute)


def compile_search(search: Search) -> regex.Pattern[str]:
    """The compiled pattern of a search. Raises UserError `bad_pattern`."""
    import regex

    flags = regex.VERSION0 | (0 if search.capitals else regex.IGNORECASE)
    pattern = search.find if search.regular else regex.escape(search.find, literal_spaces=True)
    if search.whole and search.tags:
        pattern = rf"\A(?:{pattern})\Z"
    elif search.whole:
        pattern = rf"(?<!\w)(?:{pattern})(?!\w)"
    try:
        return regex.compile(pattern, flags)
    except regex.error as error:
        raise _bad("pattern", search.find, error) from None


def preview_search(
    captions: Mapping[Path, str | None], search: Search, stop: StopCheck | None = None
) -> list[Change]:
    """What a search would change, see `tags.preview`; `stop` is asked now and then.

    Raises Stopped, and UserError as `replacer`.
    """
    replace = replacer(search)
    changes = []
    for number, (picture, before) in enumerate(captions.items()):
        if number % _ASK_EVERY == 0:
            ask_stop(stop)
        if before and (after := replace(before)) != before:
            changes.append(Change(picture, before, after))
    return changes


def _bad(what: str, text: str, error: Any) -> Exception:
    position = getattr(error, "pos", None)
    where = f" at character {position + 1}" if isinstance(position, int) else ""
    reason = str(getattr(error, "msg", error)).strip().rstrip(".")
    return fail("bad_pattern", f"The {what} {text} is not valid{where}: {reason}.")
