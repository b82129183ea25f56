"""What the worker hears: commands on stdin, command files in the run folder, signals, the clock."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

from core import files
from core.runs.folder import RunFolder
from core.training.control import Control
from core.worker import protocol
from core.worker.awake import stay_awake
from core.worker.lines import LineSplitter
from core.worker.outlet import Outlet

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
_FOLDER_SECONDS = 1.0
_GRACE_SECONDS = 1.5
# At a shutdown everybody is signalled, and whoever started this process passes its signal on.
_ONE_WISH_SECONDS = 0.25
# Phases in which there is nothing to save yet.
_EARLY = ("loading", "caching")
_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")


def start_thread(name: str, work: Callable[[], None]) -> None:
    """Run `work` in a thread that does not keep the process alive."""
    threading.Thread(target=work, name=name, daemon=True).start()


def listen_to_stdin(handle: int, control: Control) -> None:
    """Take commands from the file descriptor until it ends; its end means nothing.

    The window may have died: the training goes on. Reads the descriptor itself, because a thread
    that hangs in Python's buffered stdin makes the interpreter's end fail.
    """
    splitter = LineSplitter()

    def work() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(handle, 65536):
                for line in splitter.feed(data):
                    take(line, control)

    start_thread("stdin", work)


def take(line: bytes, control: Control) -> None:
    """Hand one line's command on; anything else is noted in the log."""
    command = protocol.decode_command(line)
    if command is None:
        log.warning("not understood: %r", line[:200])
    else:
        log.info("command: %s", command.type)
        control.submit(command)


def clear_commands(run: RunFolder) -> None:
    """Remove command files that an earlier worker of this run did not live to read."""
    for path in _command_files(run):
        with contextlib.suppress(OSError):
            files.unlink(path)


def listen_to_folder(run: RunFolder, control: Control) -> None:
    """Take command files once a second; a window that came back has no pipe to this process."""
    pause = threading.Event()

    def work() -> None:
        while not pause.wait(_FOLDER_SECONDS):
            for path in _command_files(run):
                with contextlib.suppress(OSError):
                    with open(path, "rb") as file:
                        line = file.read()
                    files.unlink(path)
                    take(line, control)

    start_thread("commands", work)


def _command_files(run: RunFolder) -> list[str]:
    try:
        with os.scandir(run.commands_folder) as entries:
            names = [e.name for e in entries if e.name.endswith(".json") and e.name[0] != "."]
    except OSError:
        return []
    return [os.path.join(run.commands_folder, name) for name in sorted(names)]


def listen_to_signals(control: Control) -> None:
    """Make SIGINT, SIGTERM and CTRL_BREAK a stop with a checkpoint, a second one a stop without.

    Python runs handlers only between two steps of its own, which can be seconds apart while a
    library loads; the wake-up descriptor is written at once.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    try:
        receiver, sender = socket.socketpair()
    except OSError as error:
        # On Windows these are network sockets, which a firewall may forbid.
        log.warning("signals are not heard: %s", error)
        return
    sender.setblocking(False)
    numbers = {int(getattr(signal, name)) for name in _SIGNALS if hasattr(signal, name)}
    for number in numbers:
        signal.signal(number, lambda *_: None)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)

    def work() -> None:
        first: float | None = None
        # Holding `sender` here keeps its descriptor open.
        with sender:
            while data := receiver.recv(1):
                if data[0] in numbers:
                    now = time.monotonic()
                    again = first is not None and now - first >= _ONE_WISH_SECONDS
                    first = now if first is None else first
                    log.info("signal %d: stop%s", data[0], " at once" if again else "")
                    # A stop that came as a command keeps what it said about saving.
                    control.submit(protocol.Stop(save=control.save_on_stop and not again))

    start_thread("signals", work)


def beat(outlet: Outlet) -> None:
    """Say every few seconds that the process is alive, whatever it is doing.

    Meanwhile the computer does not go to sleep, unless the work is paused.
    """
    pause = threading.Event()

    def work() -> None:
        while not pause.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                outlet.emit(protocol.Heartbeat())
            if outlet.phase != "paused":
                stay_awake()

    start_thread("heartbeat", work)


def guard_stop(control: Control, outlet: Outlet, end: Callable[[], None]) -> None:
    """Call `end` when a stop was asked for and the run cannot follow it in time.

    Loading and caching may sit in a library for long and have nothing to save; neither has a stop
    without saving. All files are written whole or not at all, so ending there harms nothing.
    """
    pause = threading.Event()

    def work() -> None:
        control.stop_asked.wait()
        pause.wait(_GRACE_SECONDS)
        while control.save_on_stop and outlet.phase not in _EARLY:
            pause.wait(0.1)
        end()

    start_thread("stop", work)
