"""Focus points that older versions stored in the coordinates of a picture lying on its side.

They showed PNG and WebP files as they are stored, whatever their metadata says of how they lie,
so a point clicked there is turned. A picture's entry therefore holds the point twice, as `focus`,
which all versions read, and as `focus_upright`, which only those write that show pictures upright:
where the two differ or the second is missing, `focus` comes from an older version.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.errors import Problem

UPRIGHT = "focus_upright"
_AFFECTED = (".png", ".webp")

Raw = dict[str, Any]
Point = tuple[float, float]


def upright(folder: Path, pictures: Mapping[str, Raw]) -> dict[str, Raw]:
    """The entries of a folder's pictures that change when old focus points are turned upright."""
    changed = {}
    for name, entry in pictures.items():
        point = point_of(entry.get("focus"))
        if point is None or not name.lower().endswith(_AFFECTED):
            continue
        if point_of(entry.get(UPRIGHT)) == point:
            continue
        turn = _turn(os.fspath(folder / name))
        if turn > 1:
            turned = list(turned_point(point, turn))
            changed[name] = {**entry, "focus": turned, UPRIGHT: turned}
    return changed


def told(folder: Path, names: list[str]) -> Problem:
    """The warning about focus points that were turned. names: of the pictures, at least one."""
    one = len(names) == 1
    return Problem(
        code="focus_turned",
        title=f"The focus {'point' if one else 'points'} of {len(names)} "
        f"{'picture' if one else 'pictures'} in {folder}, such as {names[0]}, "
        f"{'was' if one else 'were'} set in an older version that showed "
        f"{'it' if one else 'them'} lying on the side, and {'is' if one else 'are'} turned upright "
        "with the picture; look at the crop in the viewer.",
        hint="The next change of a mark in that folder stores them so.",
        detail="\n".join(names),
        severity="warning",
        file=str(folder / names[0]),
    )


def point_of(value: object) -> Point | None:
    """(x, y), each 0..1, from what a file says; None where that makes no sense."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    # A NaN is not between 0 and 1 either.
    if not all(isinstance(v, int | float) and 0 <= v <= 1 for v in value):
        return None
    return float(value[0]), float(value[1])


def turned_point(point: Point, orientation: int) -> Point:
    """A point of the stored picture in the upright one. orientation: 1..8, as in EXIF 2.3."""
    x, y = point
    return {
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (1 - y, x),
        7: (1 - y, 1 - x),
        8: (y, 1 - x),
    }.get(orientation, point)


def _turn(path: str) -> int:
    """EXIF orientation of a picture, 1 where it cannot be read."""
    try:
        status = os.stat(path)
    except OSError:
        return 1
    return _turn_of_version(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=65536)
def _turn_of_version(path: str, _modified: int, _size: int) -> int:
    from core.data.images import PictureError, read_header

    try:
        return read_header(Path(path)).orientation
    except PictureError:
        return 1
