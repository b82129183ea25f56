"""Cheap facts of a picture, to find duplicates and bad ones by; remembered on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import files, paths
from core.data.images import PictureError, load_picture, picture_size
from core.data.scan import StopCheck, ask_stop

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

# The long side at which pictures are measured, so that a camera's noise is not taken for detail.
EDGE = 512
# Values this near to black or white count as clipped.
_DARK, _LIGHT = 4, 251
_HASH_SIDE = 8
_COLOUR_SIDE = 4

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Measures:
    """What was measured of one picture, upright and composed on white.

    dhash: 64-bit difference hash (library imagehash), near pictures differ in few bits.
    sharpness: variance of the 4-neighbour Laplacian of grey values 0..255 at a long side of
    `EDGE` pixels (Pech-Pacheco et al. 2000); smaller pictures are measured as they are, never
    enlarged. brightness: mean grey, 0..1. clipped_dark, clipped_light: shares of the pixels that
    are all but black or white, 0..1. digest: SHA-256 of the file's bytes in hexadecimal, "" unless
    it was asked for.
    """

    dhash: int
    sharpness: float
    brightness: float
    clipped_dark: float
    clipped_light: float
    digest: str = ""
    colours: bytes = b""


def measure_picture(path: Path) -> Measures:
    """Read and measure a picture, without its digest. Raises PictureError."""
    import imagehash
    import numpy as np

    width, height = picture_size(path)
    scale = min(1.0, EDGE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = load_picture(path, at_least=size)
    colours = _scaled(image, (_COLOUR_SIDE, _COLOUR_SIDE)).tobytes()
    small = _scaled(image.convert("L"), size)
    grey = np.asarray(small)
    return Measures(
        dhash=int(str(imagehash.dhash(small, hash_size=_HASH_SIDE)), 16),
        sharpness=_sharpness(grey),
        brightness=float(grey.mean()) / 255.0,
        clipped_dark=float(np.count_nonzero(grey <= _DARK)) / grey.size,
        clipped_light=float(np.count_nonzero(grey >= _LIGHT)) / grey.size,
        colours=colours,
    )


def _scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    from PIL.Image import Resampling

    if image.size == size:
        return image
    return image.resize(size, Resampling.BILINEAR, reducing_gap=2.0)


def _sharpness(grey: np.ndarray) -> float:
    """Variance of the Laplacian of (height, width) grey values; 0 where there is no inside."""
    import numpy as np

    if min(grey.shape) < 3:
        return 0.0
    values = grey.astype(np.int16)
    laplacian = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    laplacian -= 4 * values[1:-1, 1:-1]
    return float(laplacian.astype(np.float32).var())


@dataclass(frozen=True)
class _Version:
    """What a file's content is taken to be known by."""

    size: int
    mtime_ns: int


class MeasureStore:
    """Measures of pictures, kept below the cache folder by path, size and modification time.

    Safe to use from several threads and processes. A damaged file of measures is made anew; a
    disk that cannot be written costs only the memory. `close()` when done.
    """

    # A file changed twice within the clock's grain looks unchanged, so young ones are kept in
    # this process only.
    _YOUNG_SECONDS = 2.0

    def __init__(self, file: Path | None = None) -> None:
        self._table = _Table(file or paths.cache_dir() / "measures.sqlite3")
        self._young: dict[str, tuple[_Version, Measures]] = {}

    def get(self, path: Path) -> Measures | None:
        """What is remembered of the picture as it is now; None when nothing is. Never measures."""
        name = os.path.abspath(path)
        try:
            return self._known(name, _version(name)[0])
        except OSError:
            return None

    def measure(self, path: Path, digest: bool = False) -> Measures:
        """The picture's measures, remembered or made now. Raises PictureError."""
        name = os.path.abspath(path)
        measures, fresh = self._look(name, digest)
        if fresh is not None:
            self._keep([(name, *fresh, measures)])
        return measures

    def measure_all(
        self,
        pictures: Iterable[Path],
        progress: Progress | None = None,
        check_stop: StopCheck | None = None,
        *,
        digest: bool = False,
        found: Callable[[Path, Measures], object] | None = None,
        failed: Callable[[Path, str], object] | None = None,
        threads: int | None = None,
    ) -> dict[Path, Measures]:
        """Measure many pictures in a few threads; those that cannot be read are left out.

        progress(done, total), found(path, measures) and failed(path, reason) are called in the
        calling thread, in the order in which pictures get ready. Raises Stopped when `check_stop`
        says so; what was measured until then is kept.
        """
        wanted = list(dict.fromkeys(pictures))
        result: dict[Path, Measures] = {}
        unsaved: list[tuple[str, _Version, bool, Measures]] = []
        saved_at = time.monotonic()
        try:
            for done, (path, name, outcome) in enumerate(
                self._in_threads(wanted, digest, threads, check_stop), start=1
            ):
                if isinstance(outcome, str):
                    if failed is not None:
                        failed(path, outcome)
                else:
                    measures, fresh = outcome
                    result[path] = measures
                    if fresh is not None:
                        unsaved.append((name, *fresh, measures))
                    if found is not None:
                        found(path, measures)
                if progress is not None:
                    progress(done, len(wanted))
                if unsaved and time.monotonic() - saved_at > 1.0:
                    self._keep(unsaved)
                    unsaved, saved_at = [], time.monotonic()
        finally:
            self._keep(unsaved)
        return result

    def close(self) -> None:
        """Let go of the file."""
        self._table.close()

    def _in_threads(
        self, wanted: list[Path], digest: bool, threads: int | None, check_stop: StopCheck | None
    ) -> Iterator[tuple[Path, str, _Outcome]]:
        """(path, its absolute name, outcome) as they get ready, never many ahead."""
        stopped = threading.Event()

        def work(path: Path) -> tuple[Path, str, _Outcome]:
            name = os.path.abspath(path)
            if stopped.is_set():
                return path, name, "stopped"
            try:
                return path, name, self._look(name, digest)
            except PictureError as error:
                return path, name, str(error)

        count = threads or max(1, min(4, os.cpu_count() or 1))
        pool = ThreadPoolExecutor(count, thread_name_prefix="measure")
        try:
            for start in range(0, len(wanted), 64):
                ask_stop(check_stop)
                block: list[Future[tuple[Path, str, _Outcome]]] = [
                    pool.submit(work, path) for path in wanted[start : start + 64]
                ]
                for future in as_completed(block):
                    yield future.result()
                    ask_stop(check_stop)
        finally:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _look(self, name: str, digest: bool) -> tuple[Measures, tuple[_Version, bool] | None]:
        """The measures, and (version, whether it is young) when they are not remembered yet."""
        try:
            version, young = _version(name)
            known = self._known(name, version)
            if known is not None and (known.digest or not digest):
                return known, None
            measures = known or measure_picture(Path(name))
            if digest:
                with open(name, "rb") as file:
                    measures = replace(
                        measures, digest=hashlib.file_digest(file, "sha256").hexdigest()
                    )
        except OSError as error:
            raise PictureError(f"The file cannot be read ({error.strerror or error}).") from error
        return measures, (version, young)

    def _known(self, name: str, version: _Version) -> Measures | None:
        young = self._young.get(name)
        if young is not None and young[0] == version:
            return young[1]
        return self._table.get(name, version)

    def _keep(self, news: list[tuple[str, _Version, bool, Measures]]) -> None:
        for name, version, young, measures in news:
            if young:
                self._young[name] = (version, measures)
        self._table.put([(name, v, m) for name, v, young, m in news if not young])


_Outcome = tuple[Measures, tuple[_Version, bool] | None] | str


def _version(name: str) -> tuple[_Version, bool]:
    status = os.stat(name)
    young = time.time() - status.st_mtime < MeasureStore._YOUNG_SECONDS
    return _Version(status.st_size, status.st_mtime_ns), young


class _Table:
    """The SQLite file behind a MeasureStore."""

    # Raise when the same picture gives other numbers than before.
    _FORMAT = 2
    # Beyond so many pictures the ones measured longest ago are forgotten.
    _MOST, _FORGET_TO = 400_000, 300_000
    _COLUMNS = "size, mtime_ns, dhash, sharpness, brightness, dark, light, digest, colours"

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        with self._lock:
            self._guarded(lambda _connection: None)

    def get(self, name: str, version: _Version) -> Measures | None:
        sql = f"SELECT {self._COLUMNS} FROM pictures WHERE path = ?"
        with self._lock:
            row = self._guarded(lambda c: c.execute(sql, (_name_key(name),)).fetchone())
        if row is None or (row[0], row[1]) != (version.size, version.mtime_ns):
            return None
        return Measures(row[2] & (2**64 - 1), *row[3:])

    def put(self, rows: list[tuple[str, _Version, Measures]]) -> None:
        if not rows:
            return
        values = [
            (_name_key(name), v.size, v.mtime_ns, _signed(m.dhash), *astuple(m)[1:])
            for name, v, m in rows
        ]
        marks = ", ".join("?" * 10)
        sql = f"INSERT OR REPLACE INTO pictures (path, {self._COLUMNS}) VALUES ({marks})"

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany(sql, values)

        with self._lock:
            self._guarded(write)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _guarded(self, act: Callable[[sqlite3.Connection], Any]) -> Any:
        """Act on the open file; a damaged one is removed and made anew, once."""
        for attempt in range(2):
            try:
                if self._connection is None:
                    self._connection = self._open(self._file)
                return act(self._connection)
            except sqlite3.OperationalError:
                # Locked for long, full or read-only: as if nothing were remembered.
                return None
            except (sqlite3.DatabaseError, OSError):
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                if attempt:
                    return None
                self._remove()
        return None

    def _open(self, file: Path) -> sqlite3.Connection:
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(file, timeout=10, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # What a power cut takes can be measured again.
            connection.execute("PRAGMA synchronous = OFF")
            with connection:
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if connection.execute("PRAGMA user_version").fetchone()[0] != self._FORMAT:
            connection.execute("DROP TABLE IF EXISTS pictures")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS pictures (path BLOB UNIQUE NOT NULL, size INTEGER,"
            " mtime_ns INTEGER, dhash INTEGER, sharpness REAL, brightness REAL, dark REAL,"
            " light REAL, digest TEXT, colours BLOB)"
        )
        connection.execute(f"PRAGMA user_version = {self._FORMAT}")
        # Row ids only grow, and measuring anew gives a new one.
        first, last = connection.execute("SELECT min(rowid), max(rowid) FROM pictures").fetchone()
        if first is not None and last - first > self._MOST:
            connection.execute("DELETE FROM pictures WHERE rowid <= ?", (last - self._FORGET_TO,))

    def _remove(self) -> None:
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                files.unlink(f"{self._file}{ending}")


def _name_key(name: str) -> bytes:
    """A path as bytes that SQLite takes, names that are no valid Unicode included."""
    return os.fsencode(name)


def _signed(number: int) -> int:
    """A 64-bit number as SQLite's signed integer of the same bits."""
    return number - 2**64 if number >= 2**63 else number
