"""What the window loads, and what it does to the process."""

from __future__ import annotations

import locale
import subprocess
import sys

from PySide6.QtWidgets import QApplication

HEAVY = ("torch", "diffusers", "transformers", "accelerate", "peft", "numpy", "pyqtgraph", "PIL")


def test_opening_the_window_loads_nothing_heavy() -> None:
    code = f"""
import sys
from PySide6.QtWidgets import QApplication
from app.window import Window, prepare
app = QApplication([])
keep = prepare(app)
window = Window()
window.show()
app.processEvents()
print([name for name in {HEAVY!r} if name in sys.modules])
window.background.close()
import os
sys.stdout.flush()
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_numbers_keep_their_point_in_every_locale(styled: QApplication) -> None:
    assert locale.getlocale(locale.LC_NUMERIC) == (None, None)


def test_calls_into_qt_do_not_use_up_none() -> None:
    # See app/__init__.py: without it some hundred thousand calls end the process.
    code = """
import app
from PySide6.QtCore import QObject, Signal
class Source(QObject):
    told = Signal()
source = Source()
source.told.connect(lambda: None)
for _ in range(200_000):
    source.setObjectName("a")
for _ in range(20_000):
    source.told.emit()
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "alive", done.stderr
