"""Small pictures of large ones: decoded in threads, kept on disk, what is on screen first.

They are decoded as the viewer decodes, so that a picture lies and looks the same everywhere.
"""

from __future__ import annotations

import hashlib
import heapq
import logging
import os
import sys
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import shiboken6
from PySide6.QtCore import QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QImage, QImageReader, QPainter

from app.background import end_later, give_way
from app.viewer.decode import decode
from core import files
from core.paths import cache_dir

EDGES = (256, 512)
THREADS = 2
# Steps behind the window's thread and those that decode the picture on the screen.
_NICER = 5
MEMORY_BYTES = 96 * 1024 * 1024
DISK_BYTES = 1024 * 1024 * 1024
# How long one turn of the event loop may hand out pictures.
_TURN_SECONDS = 0.006
_QUALITY = 88
_DAY = 86400
_SWITCH_SECONDS = 0.0005
# Part of each key: another way of making thumbnails makes them anew.
_VERSION = "2"
# Qt's own limit of 256 MB refuses pictures of more than 64 megapixels.
_ALLOCATION_MB = 1024
_log = logging.getLogger(__name__)

Key = tuple[str, int]


def edge_class(edge: int) -> int:
    """The longest side in pixels of the thumbnails that serve for `edge` pixels."""
    return next((known for known in EDGES if known >= edge), EDGES[-1])


class ThumbnailStore(QObject):
    """Thumbnails by path. Signals:

    ready(path, QImage): a requested thumbnail is there; null where the picture cannot be read.
    failed(path, reason): why a picture cannot be read, before its `ready`.
    """

    ready = Signal(object, object)
    failed = Signal(object, str)
    _arrived = Signal()

    def __init__(
        self,
        parent: QObject | None = None,
        folder: Path | None = None,
        memory_bytes: int = MEMORY_BYTES,
        disk_bytes: int = DISK_BYTES,
    ) -> None:
        super().__init__(parent)
        # Its threads hand the interpreter over soon: painting asks for it many times a frame.
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_SECONDS))
        QImageReader.setAllocationLimit(max(_ALLOCATION_MB, QImageReader.allocationLimit()))
        self._memory: OrderedDict[Key, QImage] = OrderedDict()
        self._bytes, self._most = 0, memory_bytes
        self._reasons: dict[str, str] = {}
        disk = _Disk(folder or _folder(), disk_bytes)
        self._queue = _Queue(disk, _emitter(self))
        self._arrived.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        weakref.finalize(self, self._queue.stop)

    def request(self, path: Path, edge: int, priority: int = 0) -> None:
        """Have a thumbnail of about `edge` pixels made; `ready` follows, never at once.

        Higher priorities come first. A repeated request only changes the priority; nothing
        happens for what `peek` returns in full size already.
        """
        key = (str(path), edge_class(edge))
        if key not in self._memory:
            self._queue.put(key, priority)

    def peek(self, path: Path, edge: int) -> QImage | None:
        """The thumbnail if it is in memory, a smaller one if that is; otherwise None.

        A null image stands for a picture that cannot be read.
        """
        wanted = edge_class(edge)
        for known in (wanted, *(e for e in reversed(EDGES) if e != wanted)):
            image = self._memory.get((str(path), known))
            if image is not None:
                self._memory.move_to_end((str(path), known))
                return image
        return None

    def reason(self, path: Path) -> str:
        """Why a picture could not be read, or empty."""
        return self._reasons.get(str(path), "")

    def keep_only(self, paths: Iterable[Path]) -> None:
        """Drop the waiting requests of all other pictures: they scrolled away."""
        self._queue.keep({str(path) for path in paths})

    def cancel_all(self) -> None:
        """Drop every waiting request."""
        self._queue.keep(set())

    def forget(self, path: Path) -> None:
        """Look at a file anew: it was replaced."""
        self._reasons.pop(str(path), None)
        for edge in EDGES:
            image = self._memory.pop((str(path), edge), None)
            self._bytes -= image.sizeInBytes() if image is not None else 0

    def is_idle(self) -> bool:
        """Whether nothing waits, is decoded or is yet to be told."""
        return self._queue.is_idle()

    def stop(self) -> None:
        """Drop what waits; what is being decoded ends by itself."""
        self._queue.stop()
        end_later(self._queue.threads())

    def close(self) -> None:
        """Drop what waits and wait for what is being decoded."""
        self._queue.stop()
        self._queue.join()

    def _deliver(self) -> None:
        until = time.perf_counter() + _TURN_SECONDS
        while (result := self._queue.take()) is not None:
            key, image, reason = result
            self._remember(key, image)
            path = Path(key[0])
            if reason:
                self._reasons[key[0]] = reason
                self.failed.emit(path, reason)
            self.ready.emit(path, image)
            if time.perf_counter() > until:
                QTimer.singleShot(0, self, self._deliver)
                return

    def _remember(self, key: Key, image: QImage) -> None:
        old = self._memory.pop(key, None)
        self._bytes += image.sizeInBytes() - (old.sizeInBytes() if old is not None else 0)
        self._memory[key] = image
        while self._bytes > self._most and len(self._memory) > 1:
            self._bytes -= self._memory.popitem(last=False)[1].sizeInBytes()


def _emitter(store: ThumbnailStore) -> Callable[[], None]:
    """Tells the store's thread that there are results, as long as there is a store."""
    weak = weakref.ref(store)

    def emit() -> None:
        there = weak()
        if there is not None and shiboken6.isValid(there):
            there._arrived.emit()

    return emit


@dataclass
class _Queue:
    """What is to be made, by priority, and what was made; threads start with the first job."""

    disk: _Disk
    tell: Callable[[], None]
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _heap: list[tuple[int, int, Key]] = field(default_factory=list)
    _waiting: dict[Key, tuple[int, int]] = field(default_factory=dict)
    _working: set[Key] = field(default_factory=set)
    _results: deque[tuple[Key, QImage, str]] = field(default_factory=deque)
    _threads: list[threading.Thread] = field(default_factory=list)
    _number: int = 0
    _closed: bool = False

    def put(self, key: Key, priority: int) -> None:
        with self._lock:
            known = self._waiting.get(key)
            if self._closed or key in self._working or (known and known[0] == -priority):
                return
            self._number += 1
            self._waiting[key] = (-priority, self._number)
            heapq.heappush(self._heap, (-priority, self._number, key))
            if len(self._threads) < THREADS:
                thread = threading.Thread(target=self._work, name="thumbnails", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._lock.notify()

    def keep(self, paths: set[str]) -> None:
        with self._lock:
            self._waiting = {key: at for key, at in self._waiting.items() if key[0] in paths}
            self._heap = [(*at, key) for key, at in self._waiting.items()]
            heapq.heapify(self._heap)

    def take(self) -> tuple[Key, QImage, str] | None:
        with self._lock:
            if not self._results:
                return None
            result = self._results.popleft()
            self._working.discard(result[0])
            return result

    def is_idle(self) -> bool:
        with self._lock:
            return not (self._waiting or self._working)

    def stop(self) -> None:
        with self._lock:
            self._closed = True
            self._waiting.clear()
            self._heap.clear()
            self._lock.notify_all()

    def threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._threads)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _next(self) -> Key | None:
        """The most urgent job, waiting for one; None when the store is closed."""
        with self._lock:
            while not self._closed:
                while self._heap:
                    *at, key = heapq.heappop(self._heap)
                    if self._waiting.get(key) == tuple(at):
                        del self._waiting[key]
                        self._working.add(key)
                        return key
                self._lock.wait()
            return None

    def _work(self) -> None:
        give_way(_NICER)
        while (key := self._next()) is not None:
            try:
                image, reason = self.disk.thumbnail(Path(key[0]), key[1])
            except Exception as error:  # a thread that ended here would leave all others waiting
                _log.exception("no thumbnail of %s", key[0])
                image, reason = QImage(), f"The picture cannot be shown ({error})."
            with self._lock:
                self._results.append((key, image, reason))
                # Told under the lock: a store that was stopped may be taken away at any time.
                if len(self._results) == 1 and not self._closed:
                    self.tell()
            self.disk.trim_if_due(lambda: self._closed)


@dataclass
class _Disk:
    """The thumbnails' files: one JPEG each, named by what it was made from."""

    folder: Path
    most_bytes: int
    _written: int = 0
    _counted: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def thumbnail(self, path: Path, edge: int) -> tuple[QImage, str]:
        """A picture at most `edge` pixels long in RGB32, or a null one and the reason."""
        try:
            stat = path.stat()
        except OSError as error:
            return QImage(), f"The file cannot be read ({error.strerror or error})."
        file = _kept_file(self.folder, path, stat, edge)
        image = _read_kept(file)
        if not image.isNull():
            return image, ""
        from core.data.images import PictureError

        try:
            image = make_thumbnail(path, edge)
        except PictureError as error:
            return QImage(), str(error)
        self._keep(file, image)
        return image, ""

    def _keep(self, file: Path, image: QImage) -> None:
        """Write a thumbnail; without a disk to write on it is simply made again next time."""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = files.new_file(file.parent, "part-", ".jpg")
            if image.save(str(temporary), quality=_QUALITY):
                size = os.path.getsize(temporary)
                files.replace(temporary, file)
                with self._lock:
                    self._written += size
            else:
                files.unlink(temporary)
        except OSError as error:
            _log.debug("a thumbnail was not kept: %s", error)

    def trim_if_due(self, stopped: Callable[[], bool]) -> None:
        """Remove the files used longest ago when there are too many; now and then only."""
        with self._lock:
            if self._counted and self._written < self.most_bytes // 16:
                return
            self._counted, self._written = True, 0
        self._trim(stopped)

    def _trim(self, stopped: Callable[[], bool]) -> None:
        found: list[tuple[float, int, str]] = []
        try:
            for sub in os.scandir(self.folder):
                if stopped():
                    return
                for entry in os.scandir(sub.path):
                    stat = entry.stat()
                    found.append((stat.st_mtime, stat.st_size, entry.path))
                time.sleep(0.001)  # this walk holds the interpreter most of the time
        except OSError as error:
            _log.debug("thumbnails were not counted: %s", error)
            return
        excess = sum(size for _, size, _ in found) - self.most_bytes
        if excess <= 0:
            return
        # A tenth below the limit, so that this is not due again at once.
        excess += self.most_bytes // 10
        for _, size, path in sorted(found):
            if excess <= 0 or stopped():
                return
            try:
                files.unlink(path)
            except OSError as error:
                _log.debug("a thumbnail was not removed: %s", error)
            excess -= size


def kept_thumbnail(path: Path, folder: Path | None = None) -> QImage:
    """The largest thumbnail of a picture that is on the disk already, else a null image."""
    try:
        stat = path.stat()
    except OSError:
        return QImage()
    image = QImage()
    for edge in reversed(EDGES):
        if image.isNull():
            image = _read_kept(_kept_file(folder or _folder(), path, stat, edge))
    return image


def _folder() -> Path:
    return cache_dir() / "thumbnails"


def _kept_file(folder: Path, path: Path, stat: os.stat_result, edge: int) -> Path:
    what = f"{os.path.abspath(path)}\0{stat.st_mtime_ns}\0{stat.st_size}\0{edge}\0{_VERSION}"
    name = hashlib.blake2b(os.fsencode(what), digest_size=20).hexdigest()
    return folder / name[:2] / f"{name}.jpg"


def _read_kept(file: Path) -> QImage:
    """A thumbnail from its file; null where there is none or only a part of it."""
    try:
        with open(file, "rb") as kept:
            kept.seek(-2, os.SEEK_END)
            if kept.read(2) != b"\xff\xd9":
                return QImage()
            age = time.time() - os.fstat(kept.fileno()).st_mtime
        if age > _DAY:
            os.utime(file)
    except OSError:
        return QImage()
    return QImageReader(str(file)).read()


def make_thumbnail(path: Path, edge: int) -> QImage:
    """The whole picture, upright, in sRGB on white, its longest side at most `edge` pixels.

    Format RGB32, the same colours as in the viewer and in training. Raises PictureError when any
    part of the picture cannot be read.
    """
    picture = decode(os.fspath(path), QSize(edge, edge))
    if picture.problem:
        # Late: the window is there before the first picture is read.
        from core.data.images import PictureError

        raise PictureError(picture.problem)
    return on_white(picture.image)


def on_white(image: QImage) -> QImage:
    """A picture in format RGB32, what is transparent of it white."""
    if not image.hasAlphaChannel():
        return image.convertToFormat(QImage.Format.Format_RGB32)
    white = QImage(image.size(), QImage.Format.Format_RGB32)
    white.fill(Qt.GlobalColor.white)
    painter = QPainter(white)
    painter.drawImage(0, 0, image)
    painter.end()
    return white
