"""Reads pictures outside the GUI thread and keeps the recent ones.

`QImageReader.read` on a path releases the interpreter lock while it decodes; decoding from
bytes and scaling a QImage do not, and would make the window stutter.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QRunnable, QSize, Qt, QThreadPool, Signal
from PySide6.QtGui import QImage, QImageReader

CACHE_BYTES = 192 * 1024 * 1024
ALLOCATION_MB = 1024

KEEP = Qt.AspectRatioMode.KeepAspectRatio

Key = tuple[str, int]


class _Read(QRunnable):
    def __init__(self, key: Key, wanted: Callable[[Key], bool], report: Callable[..., None]):
        super().__init__()
        self._key, self._wanted, self._report = key, wanted, report

    def run(self) -> None:
        if not self._wanted(self._key):
            self._report(self._key, None)
            return
        path, edge = self._key
        reader = QImageReader(path)
        reader.setAutoTransform(True)
        size = reader.size()
        if edge and size.isValid() and max(size.width(), size.height()) > edge:
            reader.setScaledSize(size.scaled(QSize(edge, edge), KEEP))
        self._report(self._key, reader.read())


class PictureLoader(QObject):
    """Pictures by path and size, each read once.

    Signals:
        loaded(str, int, QImage): path, edge asked for, picture (null when it cannot be read).
    """

    loaded = Signal(str, int, QImage)
    _read = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        QImageReader.setAllocationLimit(max(ALLOCATION_MB, QImageReader.allocationLimit()))
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(2)
        self._cache: OrderedDict[Key, QImage] = OrderedDict()
        self._bytes = 0
        self._asked: set[Key] = set()
        self._wanted: set[str] = set()
        self._read.connect(self._on_read)

    def get(self, path: Path | str, edge: int = 0) -> QImage | None:
        """The picture if it is at hand; otherwise None, and `loaded` follows.

        edge: longest side in pixels for a thumbnail; 0 for the whole picture, which is read only
        while it is among the `wanted`.
        """
        key = (str(path), edge)
        image = self._cache.get(key)
        if image is not None:
            self._cache.move_to_end(key)
            return image
        if key not in self._asked:
            self._asked.add(key)
            # The newest request first: it is what is on screen now.
            self._pool.start(_Read(key, self._is_wanted, self._read.emit), len(self._asked))
        return None

    def want(self, *paths: Path | str) -> None:
        """Of all whole pictures only these are of interest now: scrubbing stays fluent."""
        self._wanted = {str(path) for path in paths}

    def forget(self, path: Path | str) -> None:
        """Read this file again next time: it was replaced."""
        for key in [k for k in self._cache if k[0] == str(path)]:
            self._bytes -= self._cache.pop(key).sizeInBytes()

    def close(self) -> None:
        """Drop what waits and wait for what is being read."""
        self._pool.clear()
        self._pool.waitForDone(2000)

    def _is_wanted(self, key: Key) -> bool:
        return bool(key[1]) or key[0] in self._wanted

    def _on_read(self, key: Key, image: QImage | None) -> None:
        self._asked.discard(key)
        if image is None:
            if self._is_wanted(key):  # asked for again while it was being dropped
                self.get(*key)
            return
        self._cache[key] = image
        self._bytes += image.sizeInBytes()
        while self._bytes > CACHE_BYTES and len(self._cache) > 1:
            self._bytes -= self._cache.popitem(last=False)[1].sizeInBytes()
        self.loaded.emit(key[0], key[1], image)
