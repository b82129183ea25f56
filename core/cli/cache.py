"""`limner cache`: how large the prepared pictures and captions are, and making room."""

from __future__ import annotations

from dataclasses import asdict

from core import paths
from core.cli.text import print_json, say
from core.data.leases import cache_size, trim


def show_cache(*, clear: bool, limit: float | None, as_json: bool) -> int:
    """The cache's size, after making it smaller where that was asked for. limit: in GB."""
    size = cache_size()
    if clear or limit is not None:
        size = trim(0 if clear else (limit or 0) * 1e9)
    if as_json:
        print_json({"folder": str(paths.cache_dir()), **asdict(size)})
        return 0
    if size.removed:
        say(f"Removed {size.removed / 1e6:.1f} MB.")
    say(f"{size.entries} entries, {size.bytes / 1e6:.1f} MB in {paths.cache_dir()}")
    if clear and size.entries:
        say("What is left belongs to a training that runs.")
    return 0
