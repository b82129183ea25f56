"""The window's side of `core.data.helper`: asks that process and waits, in a background thread."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from core.errors import Stopped
from core.paths import console_python
from core.worker.lineprocess import worker_environment


class HelperFailed(Exception):
    """The process ended before it answered, or could not do what was asked."""


class Helper:
    """One helper process, started with the first question and again should it die.

    `ask` blocks and may come from several threads, which take turns.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()
        self._numbers = itertools.count(1)
        self._closed = False

    def ask(
        self,
        request: dict[str, Any],
        progress: Callable[[int, int], object] = lambda done, total: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """The answer to a request. Raises HelperFailed; Stopped when `cancelled` says so at a
        progress report, which ends the process."""
        with self._turn:
            process = self._start()
            number = next(self._numbers)
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps({"id": number, **request}) + "\n")
                process.stdin.flush()
                for line in process.stdout:
                    reply = json.loads(line)
                    if reply.get("id") != number:
                        continue
                    if "progress" not in reply:
                        break
                    if cancelled():
                        self._end(process)
                        raise Stopped
                    progress(*reply["progress"])
                else:
                    raise HelperFailed("The measuring process has ended.")
            except (OSError, ValueError) as error:
                raise HelperFailed(str(error)) from error
        if "problem" in reply:
            raise HelperFailed(reply["problem"])
        return reply

    @property
    def closed(self) -> bool:
        """Whether it answers no more."""
        return self._closed

    def _start(self) -> subprocess.Popen[str]:
        if self._closed:
            raise HelperFailed("The window is closing.")
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                # -P: a file named numpy.py where Limner was started must not be imported.
                [console_python(), "-P", "-m", "core.data.helper"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                env=worker_environment(),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        return self._process

    def _end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        if process is self._process:
            self._process = None

    def close(self) -> None:
        """End the process; a question that waits for it fails."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
            with self._turn:
                if self._process is process:
                    self._end(process)
