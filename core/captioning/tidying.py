"""Tidying captions up: one kind of comma, single spaces, no tag twice, nothing at the end."""

from __future__ import annotations

import re
from functools import partial

from core.captioning.tags import each_line, is_tag_list, repeated
from core.data.tags import KEEP_SEPARATOR, join_tags, split_parts

# Faces made of signs, such as ^_^ and o_o: their underscore is no space.
_KAOMOJI = re.compile(r"[^\w\s]*[^\W_]?[^\w\s]*_[^\w\s]*[^\W_]?[^\w\s]*")
# Pony's words of quality and origin are known to the model with their underscores.
_FIXED = re.compile(r"score_\d+(_up)?|(source|rating)_[a-z]+", re.IGNORECASE)
# Not before a digit, where a comma may be part of a number.
_COMMA = re.compile(r"\s*,[\s,]*(?=[^\W\d_])")


def tidied(text: str, underscores: bool = False) -> str:
    """A caption text in the usual form; empty lines and line ends stay as they are.

    In lists of tags every comma becomes `, `, full-width ones too; empty tags, repeated ones and
    double spaces go. Sentences keep their own full-width commas. kohya's `|||` stays where it is.
    underscores: write spaces for those in tags, but for faces, wildcards and Pony's score_9.
    """
    return each_line(text, partial(_line, underscores=underscores))


def spaced(tag: str) -> str:
    """A tag with spaces for its underscores, where they are meant so."""
    if _KAOMOJI.fullmatch(tag) or _FIXED.fullmatch(tag) or "__" in tag:
        return tag
    return tag.replace("_", " ")


def _line(line: str, underscores: bool) -> str:
    pieces = [_piece(piece, underscores) for piece in line.split(KEEP_SEPARATOR)]
    return f" {KEEP_SEPARATOR} ".join(pieces).strip()


def _piece(text: str, underscores: bool) -> str:
    if not is_tag_list(text):
        return " ".join(_COMMA.sub(", ", text).split()).rstrip(",，、 ")
    parts = [" ".join(part.split()) for part in split_parts(text)]
    if underscores:
        parts = [spaced(part) for part in parts]
    drop = repeated(parts)
    return join_tags(part for index, part in enumerate(parts) if part and index not in drop)
