"""What a running job listens to: the commands of the window, polled at safe points."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from core.errors import Stopped
from core.worker import protocol

Emit = Callable[[protocol._Event], None]


class Control:
    """Commands from another thread, read by the training thread without locks of its own.

    The worker's reader thread calls `submit`; long work calls `check()` often, which raises
    Stopped once a stop was asked for.
    """

    def __init__(self) -> None:
        self.stop_asked = threading.Event()
        self.save_on_stop = True
        self.pause_asked = threading.Event()
        self._rest_here: Callable[[], None] | None = None
        self._rest: deque[protocol.SampleNow | protocol.CheckpointNow | protocol.Set] = deque()

    def submit(self, command: protocol.Command) -> None:
        """Take one command; called from any thread."""
        match command:
            case protocol.Stop(save=save):
                self.save_on_stop = save
                self.stop_asked.set()
            case protocol.Pause():
                self.pause_asked.set()
            case protocol.Resume():
                self.pause_asked.clear()
            case _:
                self._rest.append(command)

    def check_stop(self) -> None:
        """Raise Stopped when a stop was asked for."""
        if self.stop_asked.is_set():
            raise Stopped

    def check(self) -> None:
        """Raise Stopped when a stop was asked for; wait while paused, where that can be done."""
        self.check_stop()
        if self._rest_here is not None and self.pause_asked.is_set():
            self._rest_here()

    @contextmanager
    def pausing(self, rest: Callable[[], None]) -> Iterator[None]:
        """Within the block `check` calls `rest` when a pause was asked for.

        For work that may be interrupted between any two checks, such as caching and sampling;
        `rest` frees the device, waits with `wait_while_paused`, and takes the device back.
        """
        self._rest_here = rest
        try:
            yield
        finally:
            self._rest_here = None

    def wait_while_paused(self) -> None:
        """Wait for resume. Raises Stopped when asked to stop meanwhile."""
        while self.pause_asked.is_set():
            if self.stop_asked.wait(0.1):
                raise Stopped

    def take(self) -> protocol.SampleNow | protocol.CheckpointNow | protocol.Set | None:
        """The oldest command that is neither stop nor pause nor resume, or None."""
        return self._rest.popleft() if self._rest else None


class Trainer(Protocol):
    """The trainer's entry, for whoever starts it: see core.training.trainer.train."""

    def __call__(self, job: object, run: object, emit: Emit, control: Control) -> object: ...
