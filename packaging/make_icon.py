"""Draw the program's icon, resources/icons/limner.ico: `python packaging/make_icon.py`.

Lucide's sparkles in white on a rounded tile of the accent colour, in the sizes Windows asks for.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image
from PySide6.QtCore import QBuffer, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication

from app import theme
from app.icons import draw_in
from core.paths import resources_dir

SIZES = (16, 20, 24, 32, 40, 48, 64, 128, 256)


def drawn(size: int) -> Image.Image:
    """The icon at `size` px."""
    image = QImage(size, size, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(theme.colours().accent))
    painter.drawRoundedRect(QRectF(0, 0, size, size), size * 0.22, size * 0.22)
    margin = size * 0.18
    draw_in(
        painter, "sparkles", QRectF(margin, margin, size - 2 * margin, size - 2 * margin), "#ffffff"
    )
    painter.end()
    buffer = QBuffer()
    buffer.open(QBuffer.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")  # type: ignore[call-overload]
    return Image.open(io.BytesIO(bytes(buffer.data().data()))).convert("RGBA")


def main() -> None:
    """Write the file."""
    app = QApplication([])
    pictures = [drawn(size) for size in SIZES]
    target = resources_dir() / "icons" / "limner.ico"
    pictures[-1].save(target, sizes=[(s, s) for s in SIZES], append_images=pictures[:-1])
    del app


if __name__ == "__main__":
    main()
