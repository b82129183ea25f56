"""One device, one worker at a time: whoever calculates takes its lock first, or waits and says so.

Two models on one graphics card end in full memory for both; two trainings on the processor are
each several times slower. The system drops the lock with its process, whatever becomes of it.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.filelock import Hold, hold
from core.paths import user_data_dir
from core.printable import printable

CPU = "cpu"
_POLL_SECONDS = 0.2


@dataclass
class DeviceLock:
    """The lock of a device, to be taken before a model is loaded onto it.

    device: `cpu`, or a graphics card such as `cuda:0`. work: what is done, as the end of "waiting
    for": "the training of limbot".
    """

    device: str
    work: str
    held: Hold | None = None

    def take(self, waiting: Callable[[str], None], check: Callable[[], None]) -> None:
        """Take it; while another has it, `waiting` gets a sentence whenever that is another one.

        check: is called often and may raise to give up. Where no lock can be written the work
        goes on without.
        """
        told = None
        while self.held is None:
            check()
            try:
                self.held = hold(self._path(), patience=0, note=self.work)
            except OSError:
                return
            if self.held is None:
                other = self._holder()
                if other != told:
                    waiting(f"Waiting for {other}, which uses the {self.name}")
                    told = other
                time.sleep(_POLL_SECONDS)

    def release(self) -> None:
        """Let the next one have the device."""
        if self.held is not None:
            self.held.release()
            self.held = None

    @contextlib.contextmanager
    def taken(self, waiting: Callable[[str], None], check: Callable[[], None]) -> Iterator[None]:
        """Have the device within the block."""
        self.take(waiting, check)
        try:
            yield
        finally:
            self.release()

    @property
    def name(self) -> str:
        """What people call the device."""
        return "processor" if self.device == CPU else "graphics card"

    def _holder(self) -> str:
        try:
            lines = self._path().read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "another process"
        return printable(lines[1]) if len(lines) > 1 and lines[1] else "another process"

    def _path(self) -> Path:
        place = user_data_dir() / "locks"
        place.mkdir(parents=True, exist_ok=True)
        return place / f"device-{re.sub(r'[^a-z0-9]+', '-', self.device.lower())}.lock"
