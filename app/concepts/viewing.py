"""From a concept into the full-screen viewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from app.concepts.facts import Look
from core.paths import user_path

if TYPE_CHECKING:
    from app.viewer.window import Viewer


def view_pictures(
    look: Look,
    window: QWidget,
    pictures: Sequence[Path] | None = None,
    start: Path | None = None,
) -> Viewer:
    """Show a concept's pictures full screen and give the viewer.

    window: it belongs to this one. pictures: only these, as they are ordered; None for all that
    the folder has and gets. start: the first to be seen.
    """
    from app.viewer import open_viewer
    from app.viewer.source import Training

    concept = look.concept
    return open_viewer(
        user_path(concept.path) if pictures is None else list(pictures),
        start,
        window,
        # A table may name pictures in folders below.
        include_subfolders=concept.include_subfolders or concept.prompt.source == "metadata",
        training=Training(look.sides[0], look.shapes, concept.prompt.trigger.strip()),
    )


def last_seen(viewer: Viewer) -> Path | None:
    """The picture that a viewer showed last; None when it had none."""
    current = viewer.album.current
    return Path(current.path) if current is not None else None
