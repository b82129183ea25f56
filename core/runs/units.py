"""Numbers for people."""

from __future__ import annotations


def human_size(count: float) -> str:
    """A number of bytes for people: `18 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return (
                f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
            )
        count /= 1000
    return f"{count:.1f} GB"
