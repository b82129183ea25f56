"""Pictures that each step changes again: decoded in threads before their step comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from core.data.encoding import Encoder, Pixels
from core.data.images import PictureError
from core.data.preparing import reading_threads
from core.data.types import Item

Showing = tuple[Item, tuple[int, ...]]  # an item and the seed of its changes
Found = Pixels | PictureError


class LivePictures:
    """Decodes what is expected, in threads; `take` waits for what is not there yet.

    The result depends on the showing alone, not on what was expected.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: dict[tuple[int, tuple[int, ...]], Future[Found]] = {}

    def expect(self, showings: Iterable[Showing]) -> None:
        """Begin with what will be taken soon; drop what was expected before and is not now."""
        wanted = {(item.id, seed): item for item, seed in showings}
        for known in self._waiting.keys() - wanted.keys():
            self._waiting.pop(known).cancel()
        for (number, seed), item in wanted.items():
            if (number, seed) not in self._waiting:
                self._waiting[number, seed] = self._submit(item, seed)

    def take(self, showing: Showing, check: Callable[[], None]) -> Found:
        """The pixels of a showing, or why there are none. `check` may raise while waiting."""
        item, seed = showing
        future = self._waiting.pop((item.id, seed), None) or self._submit(item, seed)
        while not wait([future], timeout=0.2).done:
            check()
        return future.result()

    def close(self) -> None:
        """End the threads; what they have in work is finished and dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        self._waiting.clear()

    def _submit(self, item: Item, seed: tuple[int, ...]) -> Future[Found]:
        if self._pool is None:
            threads = min(4, reading_threads(self._encoder.model))
            self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
        return self._pool.submit(self._read, item, seed)

    def _read(self, item: Item, seed: tuple[int, ...]) -> Found:
        try:
            return self._encoder.read(item, [self._encoder.variation_at(item, *seed)])[0]
        except PictureError as error:
            return error
