"""Which pictures are decoded next, and which decoded ones are kept.

The window of wanted pictures is replaced at each step: what has left it is dropped before it is
decoded, so that no key press ever waits behind pictures that were passed by.
"""

from __future__ import annotations

import enum
import os
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import shiboken6
from PySide6.QtCore import QObject, QSize, Signal

from app import prefs
from app.background import end_later, give_way
from app.viewer import decode
from app.viewer.decode import Picture, Version, fitting, version_of

AHEAD, BEHIND = 6, 2
BUDGET_MB = 512
MEMORY_PREFERENCE = "viewer/memory_mb"
LOW_EDGE = 640
# Steps that the threads give way to the window's where there are too few cores.
NICER = 2


class Stage(enum.IntEnum):
    """How much of a picture is decoded."""

    LOW = 0
    SCREEN = 1
    FULL = 2


@dataclass(frozen=True)
class Request:
    """A picture and how much of it is wanted; box: device pixels, None for every pixel."""

    path: str
    stage: Stage
    box: QSize | None

    @property
    def key(self) -> tuple[str, Stage]:
        """What it is kept under."""
        return self.path, self.stage


def chosen_budget() -> int:
    """Bytes for decoded pictures, by the user's preference in megabytes."""
    try:
        megabytes = int(prefs.text(MEMORY_PREFERENCE, str(BUDGET_MB)))
    except ValueError:
        megabytes = BUDGET_MB
    return max(128, megabytes) << 20


def thread_count(cores: int | None = None) -> int:
    """Threads that decode: half the cores, at least 2, at most 4."""
    return max(2, min(4, (cores or os.cpu_count() or 2) // 2))


def around(
    position: int, count: int, direction: int, ahead: int = AHEAD, behind: int = BEHIND
) -> list[int]:
    """Positions to decode, the most urgent first: the current one, then those to come, with the
    ones behind mixed in after the second.

    direction: 1 forwards, -1 backwards.
    """
    order = [0, 1, 2]
    order += [-1, *range(3, ahead + 1)] if behind else list(range(3, ahead + 1))
    order += [-n for n in range(2, behind + 1)]
    found = (position + direction * step for step in order)
    return [p for p in found if 0 <= p < count]


def _drop(pictures: queue.SimpleQueue[Picture | None]) -> None:
    """Let go of pictures, in a thread, until None comes."""
    while pictures.get() is not None:
        pass


class Loader(QObject):
    """Decodes what is wanted, the most urgent first, and keeps it within a memory budget.

    Signals: arrived(path, stage) after `get` has something new for it; replaced(path) when `check`
    has found another file there.
    """

    arrived = Signal(str, int)
    replaced = Signal(str)
    _done = Signal(object, object)

    def __init__(
        self,
        parent: QObject | None = None,
        budget: int = BUDGET_MB << 20,
        threads: int | None = None,
        decoder: Callable[[str, QSize | None], Picture] = decode.decode,
        first_look: Callable[[str, QSize | None], Picture] | None = None,
    ) -> None:
        """first_look decodes for `Stage.LOW`, the decoder without one."""
        super().__init__(parent)
        decode.prepare()
        self._decoder = decoder
        self._first_look = first_look or decoder
        self._budget = budget
        self._kept: OrderedDict[tuple[str, Stage], tuple[Request, Picture]] = OrderedDict()
        self._bytes = 0
        self._pinned: set[str] = set()
        self._lock = threading.Condition()
        self._queue: list[Request] = []
        self._working: set[Request] = set()
        self._stale: set[Request] = set()
        self._checks: dict[str, set[Version]] = {}
        self._closed = False
        self._done.connect(self._keep)
        # Giving back the memory of a large picture takes many milliseconds.
        self._dropped: queue.SimpleQueue[Picture | None] = queue.SimpleQueue()
        self._at_once = threads or thread_count()
        self._threads = [
            threading.Thread(target=self._work, name=f"decode-{n}", daemon=True)
            for n in range(self._at_once)
        ]
        self._threads.append(
            threading.Thread(target=_drop, args=(self._dropped,), name="drop", daemon=True)
        )
        for thread in self._threads:
            thread.start()

    # --- asked by the window -------------------------------------------------

    @property
    def bytes(self) -> int:
        """Memory that the kept pictures take."""
        return self._bytes

    @property
    def budget(self) -> int:
        """Bytes that are kept at most."""
        return self._budget

    def budget_for(self, box: QSize) -> int:
        """How many pictures of this size fit into the budget, with room for a whole one."""
        return max(2, int(self._budget * 0.75) // max(1, box.width() * box.height() * 4))

    def set_budget(self, budget: int) -> None:
        """Keep at most so many bytes."""
        self._budget = budget
        with self._lock:
            coming = self._coming()
        self._evict(coming)

    def get(self, path: str, stage: Stage) -> Picture | None:
        """What is kept of the picture at this stage."""
        found = self._kept.get((path, stage))
        if found is None:
            return None
        self._kept.move_to_end((path, stage))
        return found[1]

    def best(self, path: str, most: Stage = Stage.FULL) -> Picture | None:
        """The most detailed version that is kept, up to `most`."""
        for stage in sorted(Stage, reverse=True):
            if stage <= most:
                found = self.get(path, stage)
                if found is not None:
                    return found
        return None

    def want(self, requests: Iterable[Request], pinned: Sequence[str] = ()) -> None:
        """Decode exactly these, in this order; everything asked for before is forgotten.

        pinned: paths on the screen, which no budget throws out.
        """
        wanted = []
        for request in requests:
            if self._is_met(request):
                self._kept.move_to_end(request.key)
            else:
                wanted.append(request)
        self._pinned = set(pinned)
        with self._lock:
            self._queue = [r for r in wanted if r not in self._working]
            coming = self._coming()
            self._lock.notify(len(self._queue))
        self._evict(coming)

    def add(self, request: Request) -> None:
        """Decode this too, after everything that is wanted now."""
        if self._is_met(request):
            return
        with self._lock:
            if request not in self._queue and request not in self._working:
                self._queue.append(request)
            coming = self._coming()
            self._lock.notify()
        self._evict(coming)

    def waiting(self) -> list[Request]:
        """What is not being decoded yet."""
        with self._lock:
            return list(self._queue)

    def is_idle(self) -> bool:
        """Whether nothing is decoded or waits."""
        with self._lock:
            return not self._queue and not self._working

    def check(self, paths: Iterable[str]) -> None:
        """Look, in the threads, whether these files are still those that were decoded."""
        kept = {
            path: {
                self._kept[path, stage][1].version for stage in Stage if (path, stage) in self._kept
            }
            for path in paths
        }
        with self._lock:
            self._checks = kept
            self._lock.notify()

    def forget(self, path: str) -> None:
        """Throw out what is kept of a file: it was replaced or has gone."""
        with self._lock:
            self._stale |= {request for request in self._working if request.path == path}
        for stage in Stage:
            self._let_go((path, stage))

    def close(self) -> None:
        """Drop everything; a picture that is being decoded is finished by itself and not told.

        Waiting for a hundred megapixels here would stop the window that the viewer belongs to.
        """
        with self._lock:
            self._closed = True
            self._queue.clear()
            self._checks.clear()
            self._lock.notify_all()
        for key in list(self._kept):
            self._let_go(key)
        self._dropped.put(None)
        end_later(self._threads)

    # --- in the threads ------------------------------------------------------

    def _work(self) -> None:
        give_way(NICER)
        while True:
            with self._lock:
                while not (self._queue or self._checks or self._closed):
                    self._lock.wait()
                if self._closed:
                    return
                act: Callable[[], Callable[[], object]]
                if self._queue:
                    request = self._queue.pop(0)
                    self._working.add(request)
                    act = partial(self._decode, request)
                else:
                    act = partial(self._compare, *self._checks.popitem())
            tell = act()
            with self._lock:
                # Held while it is told, so that nobody takes this object away meanwhile.
                if self._closed or not shiboken6.isValid(self):
                    return
                tell()

    def _decode(self, request: Request) -> Callable[[], object]:
        act = self._first_look if request.stage == Stage.LOW else self._decoder
        version = version_of(request.path)
        picture = replace(act(request.path, request.box), version=version)
        return partial(self._done.emit, request, picture)

    def _compare(self, path: str, versions: set[Version]) -> Callable[[], object]:
        same = versions <= {version_of(path)}
        return (lambda: None) if same else partial(self.replaced.emit, path)

    # --- in the GUI thread ---------------------------------------------------

    def _is_met(self, request: Request) -> bool:
        found = self._kept.get(request.key)
        if found is None:
            return False
        kept, picture = found
        if picture.image.isNull() or picture.is_whole:
            return True
        if request.box is None:
            return False
        return kept.box == request.box or picture.image.size() == fitting(picture.size, request.box)

    def _keep(self, request: Request, picture: Picture) -> None:
        with self._lock:
            self._working.discard(request)
            if request in self._stale:
                # Decoded from the file as it was before; ask for it again.
                self._stale.discard(request)
                self._queue.insert(0, request)
                self._lock.notify()
                return
            coming = self._coming()
        self._let_go(request.key)
        self._kept[request.key] = (request, picture)
        self._bytes += picture.bytes
        self._evict(coming)
        self.arrived.emit(request.path, int(request.stage))

    def _evict(self, coming: int) -> None:
        """Throw out the longest unused until the budget holds what is kept and what comes."""
        for key in list(self._kept):
            if self._bytes <= self._budget - coming:
                return
            if key[0] not in self._pinned:
                self._let_go(key)

    def _coming(self) -> int:
        """Bytes that the pictures decoded now and next will take, as far as is known."""
        total = 0
        for request in (*self._working, *self._queue[: self._at_once]):
            size = request.box
            if size is None:
                found = self._kept.get((request.path, Stage.SCREEN))
                size = found[1].size if found is not None else QSize(0, 0)
            total += size.width() * size.height() * 4
        return total

    def _let_go(self, key: tuple[str, Stage]) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= found[1].bytes
            self._dropped.put(found[1])
