"""Work off the GUI thread: results come back to it, and the newest task of a kind wins."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import shiboken6
from PySide6.QtCore import QObject, Signal

THREADS = 2
_log = logging.getLogger(__name__)

StopCheck = Callable[[], bool]


_ending: set[threading.Thread] = set()


def end_later(threads: Iterable[threading.Thread]) -> None:
    """Let threads that were told to stop finish by themselves; the program's end waits for them,
    because Qt must not be taken away while they use it."""
    for thread in [thread for thread in _ending if not thread.is_alive()]:
        _ending.discard(thread)
    _ending.update(thread for thread in threads if thread.is_alive())


def give_way(nicer: int) -> None:
    """Let the window's thread and others go before the calling one where there are too few cores:
    `nicer` steps on the system's scale of 40; on Linux alone that can be said of a thread."""
    if sys.platform == "linux":
        own = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + nicer)


@atexit.register
def _wait_for_the_last() -> None:
    for thread in list(_ending):
        thread.join(timeout=10)


class _Task:
    def __init__(self, key: object, owner: QObject, done: Callable[[Any], None]) -> None:
        self.key, self.owner, self.done = key, owner, done
        self.cancelled = threading.Event()


class Background(QObject):
    """Runs functions in a few threads. Signals: idle() when nothing is left to do."""

    idle = Signal()
    _finished = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="background")
        self._closed = False
        self._newest: dict[object, _Task] = {}
        self._open = 0
        self._finished.connect(self._deliver)

    def run(
        self,
        owner: QObject,
        key: object,
        work: Callable[[StopCheck], Any],
        done: Callable[[Any], None],
    ) -> None:
        """Call `work(cancelled)` in a thread, then `done(result)` in this one.

        A later call with the same key replaces this one: its result is dropped and `cancelled()`
        becomes true, so long work should ask. An exception is the result too. Nothing is
        delivered once `owner` is gone.
        """
        if self._closed:
            return
        task = _Task(key, owner, done)
        if key in self._newest:
            self._newest[key].cancelled.set()
        self._newest[key] = task
        self._open += 1

        def call() -> None:
            result: Any = None
            if not task.cancelled.is_set():
                try:
                    result = work(task.cancelled.is_set)
                except Exception as error:
                    result = error
            if shiboken6.isValid(self):
                self._finished.emit(task, result)

        self._pool.submit(call)

    def cancel(self, key: object) -> None:
        """Drop the running task of `key`, if there is one."""
        task = self._newest.pop(key, None)
        if task is not None:
            task.cancelled.set()

    def is_idle(self) -> bool:
        """Whether nothing runs or waits."""
        return self._open == 0

    def close(self) -> None:
        """Cancel everything and wait for what runs."""
        self._closed = True
        for task in self._newest.values():
            task.cancelled.set()
        self._newest.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _deliver(self, task: _Task, result: Any) -> None:
        self._open -= 1
        current = self._newest.get(task.key) is task
        if current:
            del self._newest[task.key]
        if current and not task.cancelled.is_set() and shiboken6.isValid(task.owner):
            task.done(result)
        elif isinstance(result, Exception):
            _log.debug("a dropped task failed: %r", result)
        if self._open == 0:
            self.idle.emit()
