"""Reading the text files that people have beside their pictures, in whatever encoding."""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from core.reading import Unreadable, read_bytes

# A caption of more would be tens of thousands of tokens, each trained in its turn.
_LARGEST_CAPTION = 256 * 1024
LARGEST_LIST = 16 * 2**20  # many captions, tags or words in one file
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_GB_FOUR_BYTES = re.compile(rb"[\x81-\xfe][0-9][\x81-\xfe][0-9]")
# The first byte of three or four; two hold the scripts from Latin to N'Ko.
_LONG_UTF8 = re.compile(rb"[\xe0-\xf7]")
_HIGH_LETTERS = re.compile("[^\x00-\x7f]{2,}")
_SCRIPTS = {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "HEBREW", "ARABIC", "SYRIAC", "THAANA", "NKO"}
_LINE_END = re.compile("\r\n|\n|\r")
# What text files without a mark are usually written in, besides UTF-8, by Python's name.
ENCODINGS = ("gb18030", "cp932", "euc_jp", "big5", "cp949", "cp1252", "cp1250", "cp1251")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


class CaptionError(Exception):
    """A text file cannot be read; the text is the reason in one sentence."""


@dataclass(frozen=True)
class CaptionText:
    """A text file's content, and how it was written.

    text: all of it with its own line ends, without byte order mark. encoding: a name that Python
    knows. newline: the line end that most lines have, "\\n" where there is none. guessed: nothing
    in the file tells its encoding, another may be right.
    """

    text: str
    encoding: str
    newline: str
    guessed: bool = False


def read_caption_file(
    path: str | Path, at_most: int = _LARGEST_CAPTION, encoding: str = ""
) -> CaptionText:
    """A text file's content, exactly as it stands.

    UTF-8 with or without byte order mark, UTF-16 and UTF-32 by theirs, else `encoding` where it
    is given and fits, else a guess: Shift-JIS or EUC-JP where the letters are Japanese,
    Windows-1252 where bytes above 127 all stand alone, as accents do between Latin letters and
    never in Chinese, and GB18030. Raises FileNotFoundError when there is no such file and
    CaptionError when it holds no text or more than `at_most` bytes.
    """
    try:
        data = read_bytes(path, at_most)
    except Unreadable as error:
        if error.why == "missing":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
        hint = "; that is not a caption" if error.why == "large" else ""
        raise CaptionError(f"The file {error}{hint}.") from None
    text, found, guessed = _decode(data, encoding)
    # Old editors of DOS end a text with Ctrl-Z.
    text = text.rstrip("\x1a")
    if _CONTROL.search(text):
        raise CaptionError("The file holds binary data, not text.")
    return CaptionText(text, found, _newline(text), guessed)


def read_text(path: str | Path, at_most: int = _LARGEST_CAPTION, encoding: str = "") -> str:
    """The text alone of `read_caption_file`; raises the same."""
    return read_caption_file(path, at_most, encoding).text


def says(path: str | Path, text: str) -> bool:
    """Whether a file holds a text, line ends aside, in whichever encoding it is read.

    Raises as `read_caption_file`.
    """
    return any(
        single_ends(read_text(path, encoding=encoding)) == single_ends(text)
        for encoding in ("", *ENCODINGS)
    )


def without_surrogates(text: str) -> str:
    """The text with a replacement sign for what no encoding can hold.

    Such halves of a character come from JSON's escapes and from names of files that are no
    valid UTF-8.
    """
    return _SURROGATE.sub("\ufffd", text)


def single_ends(text: str) -> str:
    """A text with every line end made a single line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _newline(text: str) -> str:
    ends = _LINE_END.findall(text) if "\r" in text else []
    return max(dict.fromkeys(ends), key=ends.count) if ends else "\n"


def _decode(data: bytes, chosen: str) -> tuple[str, str, bool]:
    """Text, encoding, and whether that is a guess."""
    if data.isascii() and b"\0" not in data:
        return data.decode("ascii"), "utf-8", False
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                # Some programs write the mark twice; it is not part of the text.
                return data[len(mark) :].decode(encoding).lstrip("\ufeff"), encoding, False
            except UnicodeDecodeError as error:
                raise CaptionError(f"The file is marked as {encoding} but is damaged.") from error
    if b"\0" in data:
        return *_unmarked_utf16(data), False
    mixed = _mixes_scripts(data)
    guesses = [_guess(data), "gb18030"]
    for encoding in [*guesses, "utf-8"] if mixed else ["utf-8", *([chosen] if chosen else guesses)]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return text, encoding, encoding not in ("utf-8", chosen)
    if chosen:
        return _decode(data, "")
    raise CaptionError("The file is neither UTF-8, UTF-16 nor GB18030 text; save it as UTF-8.")


def _guess(data: bytes) -> str:
    """The likeliest encoding of text that is not UTF-8."""
    if _accents_only(data):
        return "cp1252"
    leads = _leads(data)
    # Common Chinese characters lie above 0xB0 in GB18030; Shift-JIS has nearly all of its letters
    # below 0xA0, and what is read as half-width katakana is Chinese.
    if leads and sum(0x81 <= lead <= 0x9F or lead >= 0xE0 for lead in leads) == len(leads):
        low = sum(lead <= 0x9F for lead in leads)
        if 2 * low >= len(leads) and _decodes(data, "cp932"):
            return "cp932"
    # EUC-JP and GB2312 share their rows of kana, which Chinese text has hardly any of.
    kana = sum(b in (0xA4, 0xA5) and after > 0xA0 for b, after in pairwise(data))
    high = sum(byte > 0xA0 for byte in data)
    if high and 10 * kana >= high and _decodes(data, "euc_jp"):
        return "euc_jp"
    return "gb18030"


def _leads(data: bytes) -> list[int]:
    """The first bytes of the two-byte characters, read as Shift-JIS and GB18030 do."""
    leads, place = [], 0
    while place < len(data):
        if data[place] < 0x80:
            place += 1
        else:
            leads.append(data[place])
            place += 2
    return leads


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _unmarked_utf16(data: bytes) -> tuple[str, str]:
    """UTF-16 without its mark: letters of Latin-1 have a NUL in every second byte, always in the
    same place."""
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = data[first::2].count(0), data[1 - first :: 2].count(0)
        if len(data) % 2 == 0 and others == 0 and 4 * zeros >= len(data):
            try:
                return data.decode(encoding), encoding
            except UnicodeDecodeError:
                continue
    raise CaptionError("The file holds binary data, not text.")


def _mixes_scripts(data: bytes) -> bool:
    """Whether the bytes are UTF-8 of words that no language has, letters of several scripts side by
    side: some Chinese words in GB18030, such as those for "a cat", look like that."""
    if _LONG_UTF8.search(data):
        return False
    try:
        words = _HIGH_LETTERS.findall(data.decode("utf-8"))
    except UnicodeDecodeError:
        return False
    return any(
        len({unicodedata.name(letter, "").split(" ")[0] for letter in word} & _SCRIPTS) > 1
        for word in words
    )


def _accents_only(data: bytes) -> bool:
    return not _GB_FOUR_BYTES.search(data) and all(len(run) == 1 for run in _HIGH_RUN.findall(data))
