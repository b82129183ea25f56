"""The full-screen culling viewer: `open_viewer` shows it, `limner cull` is the same by command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

if TYPE_CHECKING:
    from app.viewer.source import Training
    from app.viewer.window import Viewer


def open_viewer(
    folder_or_paths: Path | Sequence[Path],
    start: Path | None = None,
    parent: QWidget | None = None,
    *,
    include_subfolders: bool = False,
    training: Training | None = None,
    full_screen: bool = True,
) -> Viewer:
    """Show the viewer on a folder, or on exactly these pictures, and return it.

    start: the picture to begin with. parent: a widget of the window that it belongs to; the
    viewer is a window of its own and goes with it. training: resolution, bucket step and trigger
    word that the crop and the token count are shown for. A folder that cannot be read is told
    on the screen, not raised.
    """
    from app.viewer.source import Source, Training
    from app.viewer.window import Viewer

    if isinstance(folder_or_paths, Path):
        source = Source.of_folder(folder_or_paths, include_subfolders)
    else:
        source = Source.of_paths(list(folder_or_paths))
    viewer = Viewer(source, training or Training(), start=start, parent=parent)
    viewer.present(full_screen)
    return viewer
