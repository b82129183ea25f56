"""What a running job listens to: the commands of the window, polled at safe points."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
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

    def check(self) -> None:
        """Raise Stopped when a stop was asked for."""
        if self.stop_asked.is_set():
            raise Stopped

    def take(self) -> protocol.SampleNow | protocol.CheckpointNow | protocol.Set | None:
        """The oldest command that is neither stop nor pause nor resume, or None."""
        return self._rest.popleft() if self._rest else None


class Trainer(Protocol):
    """The trainer's entry, for whoever starts it: see core.training.trainer.train."""

    def __call__(self, job: object, run: object, emit: Emit, control: Control) -> object: ...
