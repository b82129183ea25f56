"""The captioning worker: loads a tagger or captioner in a process of its own and tells captions.

`python -m core.captioning.worker`. Events go out as JSON lines on a private copy of stdout,
commands come on stdin (messages.py); whatever libraries print goes to stderr. It writes no file:
whoever started it has the captions as they come, and decides. The end of stdin is a stop, since
without a reader the work is for nobody.

Exit codes: 0 finished, 1 failed, 130 stopped.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from core.captioning import messages
from core.captioning.messages import Captioned, Done, Heartbeat, Hello, Phase, Refused, Trouble
from core.captioning.options import CaptionOptions, make_options
from core.data.images import PictureError, load_picture
from core.data.scan import ask_stop
from core.device_lock import CPU, DeviceLock
from core.errors import Problem, Stopped, UserError, fail
from core.hardware import gpu_driver_here
from core.printable import log_to_stderr
from core.worker.failures import problem_of_computer
from core.worker.lines import LineSplitter

FINISHED, FAILED, STOPPED = 0, 1, 130
_CODES = {"finished": FINISHED, "failed": FAILED, "stopped": STOPPED}
HEARTBEAT_SECONDS = 5.0
_GRACE_SECONDS = 1.5
_DECODERS = 2
# So many in a row without a single success say that it is the model, not the pictures.
_HOPELESS = 3

log = logging.getLogger(__name__)
Emit = Callable[[messages.Event], None]


class Model(Protocol):
    """What makes captions: a WdTagger or a Captioner. batch: most pictures at once, 0 free."""

    batch: int

    @property
    def provider(self) -> str: ...

    def prepare(self, image: Any) -> Any: ...

    def describe(self, prepared: Sequence[Any]) -> list[str]: ...


class Mouth:
    """Writes events to a file descriptor, from any thread; waits for a reader that is behind.

    Captions must not be lost, so nothing is left out. When the reader is gone, `stop` is set.
    """

    def __init__(self, handle: int, stop: threading.Event) -> None:
        self._handle, self._stop = handle, stop
        self._lock = threading.Lock()
        self._closed = False

    def emit(self, event: messages.Event) -> None:
        """Say one event; after `Done` nothing is said."""
        with self._lock:
            if self._closed:
                return
            self._closed = isinstance(event, Done)
            line = messages.encode(event)
            try:
                while line:
                    line = line[os.write(self._handle, line) :]
            except OSError:
                self._closed = True
                self._stop.set()


class Ears:
    """Reads commands from a file descriptor in a thread. started: all pictures are known."""

    def __init__(self, handle: int, stop: threading.Event) -> None:
        self.pictures: list[Path] = []
        self.options: dict[str, Any] = {}
        self.started = threading.Event()
        self._handle, self._stop = handle, stop
        threading.Thread(target=self._listen, name="stdin", daemon=True).start()

    def _listen(self) -> None:
        splitter = LineSplitter()
        try:
            while data := os.read(self._handle, 65536):
                for line in splitter.feed(data):
                    self._take(messages.decode(line))
        except OSError as error:
            log.warning("no commands any more: %s", error)
        self._stop.set()
        self.started.set()

    def _take(self, command: object) -> None:
        match command:
            case messages.Pictures(paths=paths):
                self.pictures += [Path(path) for path in paths]
            case messages.Start(options=options):
                self.options = options
                self.started.set()
            case messages.Stop():
                self._stop.set()
                self.started.set()
            case _:
                log.warning("not understood: %r", command)


def main(load: Callable[[CaptionOptions], Model] | None = None) -> int:
    """Take pictures and options from stdin and tell their captions; returns the exit code."""
    stop = threading.Event()
    mouth = Mouth(os.dup(1), stop)
    ears = Ears(os.dup(0), stop)
    _quieten()
    mouth.emit(Hello(os.getpid()))
    _beat(mouth)
    _guard_stop(mouth, stop)
    status: messages.Status = "failed"
    try:
        ears.started.wait()
        if stop.is_set():
            raise Stopped
        options = make_options(ears.options)
        lock = DeviceLock(CPU if on_cpu(options) else "cuda:0", _work(ears.pictures))
        with lock.taken(
            lambda text: mouth.emit(Phase("waiting", text)), partial(ask_stop, stop.is_set)
        ):
            mouth.emit(Phase("loading"))
            model = (load or load_model)(options)
            mouth.emit(Phase("captioning", model.provider))
            caption_all(model, ears.pictures, batch_size(options, model), mouth.emit, stop)
        status = "finished"
    except Stopped:
        status = "stopped"
    except UserError as error:
        for problem in error.problems:
            mouth.emit(Trouble(problem.as_dict()))
    except BaseException as error:
        traceback.print_exc()
        mouth.emit(Trouble(_unforeseen(error).as_dict()))
    mouth.emit(Done(status))
    return _CODES[status]


def on_cpu(options: CaptionOptions) -> bool:
    """Whether the model will be on the processor: by choice, or because there is no GPU."""
    return options.device == "cpu" or not gpu_driver_here()


def _work(pictures: Sequence[Path]) -> str:
    return f"the captions of {pictures[0].parent.name}" if pictures else "captions"


def load_model(options: CaptionOptions) -> Model:
    """The tagger or captioner that the options name. Raises UserError."""
    from core.captioning.models import captioner_folder, tagger_folder

    if not options.download:
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    if options.by_tags:
        from core.captioning.wd import WdTagger

        return WdTagger(tagger_folder(options.tagger, options.download), options)
    from core.captioning.vlm import Captioner

    return Captioner(captioner_folder(options.captioner, options.download), options)


def batch_size(options: CaptionOptions, model: Model) -> int:
    """How many pictures go through the model together."""
    on_cpu = model.provider.lower().startswith("cpu")
    wanted = options.batch or (1 if on_cpu else 8 if options.by_tags else 4)
    return min(wanted, model.batch) if model.batch else wanted


def caption_all(
    model: Model, pictures: Sequence[Path], batch: int, emit: Emit, stop: threading.Event
) -> None:
    """Tell each picture's caption, or why it has none, in order.

    Pictures are read in threads while the model works. Raises Stopped, and UserError when
    the model fails on one picture after the other.
    """
    bad_luck = 0

    def read(path: Path) -> Any:
        if stop.is_set():
            raise Stopped
        return model.prepare(load_picture(path))

    with ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode") as pool:
        ahead: deque[tuple[int, Future[Any]]] = deque()
        waiting = iter(enumerate(pictures))

        def fill() -> None:
            while len(ahead) < batch + 2 * _DECODERS and (one := next(waiting, None)):
                ahead.append((one[0], pool.submit(read, one[1])))

        fill()
        while ahead:
            group = _collect(ahead, batch, emit, fill)
            if stop.is_set():
                raise Stopped
            succeeded, failed = _describe(model, group, emit)
            bad_luck = -len(pictures) if succeeded else bad_luck + failed
            if bad_luck >= min(_HOPELESS, len(pictures)):
                raise fail(
                    "captioner_fails",
                    "The model fails on every picture, so it is not made for this; choose another.",
                )


def _collect(
    ahead: deque[tuple[int, Future[Any]]], batch: int, emit: Emit, fill: Callable[[], None]
) -> list[tuple[int, Any]]:
    """The next pictures that could be read, `batch` at most; tells of those that could not."""
    group: list[tuple[int, Any]] = []
    while ahead and len(group) < batch:
        index, future = ahead.popleft()
        try:
            group.append((index, future.result()))
        except PictureError as error:
            emit(Refused(index, "picture_unreadable", str(error)))
        fill()
    return group


def _describe(model: Model, group: list[tuple[int, Any]], emit: Emit) -> tuple[int, int]:
    """Tell the captions of a group; returns how many succeeded and failed.

    Where a group fails, each of its pictures is tried alone: one of them may be the cause, or
    memory is enough for one.
    """
    if not group:
        return 0, 0
    try:
        texts = model.describe([prepared for _, prepared in group])
    except UserError:
        raise
    except Exception as error:
        if len(group) > 1:
            results = [_describe(model, [one], emit) for one in group]
            return sum(good for good, _ in results), sum(bad for _, bad in results)
        traceback.print_exc()
        emit(Refused(group[0][0], "caption_failed", _reason(error)))
        return 0, 1
    for (index, _), text in zip(group, texts, strict=True):
        emit(Captioned(index, text))
    return len(group), 0


def _reason(error: BaseException) -> str:
    names = {kind.__name__ for kind in type(error).__mro__}
    words = " ".join(str(error).split())
    if names & {"MemoryError", "OutOfMemoryError"} or "out of memory" in words.lower():
        return (
            "There is not enough memory for the model; close other programs or use the processor."
        )
    return f"The model failed ({type(error).__name__}: {words[:200]})."


def _unforeseen(error: BaseException) -> Problem:
    if problem := problem_of_computer(error):
        return problem
    words = " ".join(str(error).split())[:300]
    return Problem(
        code="internal_error",
        title=f"Captioning ended because of an error inside Limner ({type(error).__name__}: "
        f"{words}).",
    )


def _quieten() -> None:
    """Send what libraries print to stderr, take stdin from them, keep them from asking home."""
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    faulthandler.enable(file=2)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    log_to_stderr()
    if threading.current_thread() is threading.main_thread():
        # A terminal's Ctrl-C is for whoever started this process; it then says stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _beat(mouth: Mouth) -> None:
    pause = threading.Event()

    def work() -> None:
        while not pause.wait(HEARTBEAT_SECONDS):
            mouth.emit(Heartbeat())

    threading.Thread(target=work, name="heartbeat", daemon=True).start()


def _guard_stop(mouth: Mouth, stop: threading.Event) -> None:
    """End the process when a stop cannot be followed in time; no file is being written here."""

    def work() -> None:
        stop.wait()
        threading.Event().wait(_GRACE_SECONDS)
        mouth.emit(Done("stopped"))
        os._exit(STOPPED)

    threading.Thread(target=work, name="stop", daemon=True).start()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Every event is out; libraries that hang or crash at the interpreter's end add nothing.
    os._exit(code)
