"""Labels: a line of any writing is as high as its letters."""

from __future__ import annotations

from PySide6.QtCore import QPointF
from PySide6.QtGui import QTextLayout
from PySide6.QtWidgets import QApplication

from app.widgets.labels import Elided


def test_a_line_is_high_enough_for_letters_of_another_font(styled: QApplication):
    label = Elided("在雨中行走的红色机器人.png")
    layout = QTextLayout(label.full_text(), label.font())
    layout.beginLayout()
    line = layout.createLine()
    line.setPosition(QPointF(0, 0))
    layout.endLayout()
    assert label.sizeHint().height() >= line.height()
    # Whatever is written, so that nothing moves from name to name.
    assert label.sizeHint().height() == Elided("robot").sizeHint().height()
