"""Garbage with Qt objects in it goes in the GUI thread."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.collector import MOST_AT_ONCE, Collector


class Cycle:
    """Garbage that notes in which thread it goes."""

    gone: list[str] = []  # noqa: RUF012  (shared on purpose)

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Cycle.gone.append(threading.current_thread().name)


@pytest.fixture
def collector(qapp: Any) -> Iterator[Collector]:
    result = Collector()
    Cycle.gone.clear()
    yield result
    result.stop()


def allocate() -> None:
    """Enough for Python to collect several times by itself."""
    for _ in range(2000):
        Cycle()
        kept = [[] for _ in range(100)]
    del kept


def test_a_busy_thread_does_not_collect(collector: Collector) -> None:
    thread = threading.Thread(target=allocate, name="worker")
    thread.start()
    thread.join()
    assert Cycle.gone == []
    while collector.collect():
        pass
    assert set(Cycle.gone) == {threading.main_thread().name}
    assert len(Cycle.gone) == 2000


def test_the_timer_collects(collector: Collector, qtbot: Any) -> None:
    allocate()
    qtbot.waitUntil(lambda: len(Cycle.gone) == 2000, timeout=20000)


def test_very_much_is_put_off(collector: Collector) -> None:
    kept = [[number] for number in range(2 * MOST_AT_ONCE)]
    for _ in range(5):
        Cycle()
    before = gc.get_freeze_count()
    assert collector.collect() == 0 and Cycle.gone == []
    assert gc.get_freeze_count() >= before + len(kept)
    # What comes later is not put off with it.
    Cycle()
    kept += [[number] for number in range(1000)]
    collector.collect()
    assert len(Cycle.gone) == 1
    collector.collect_all()
    assert len(Cycle.gone) == 6


def test_stopping_gives_collection_back(qapp: Any) -> None:
    Collector().stop()
    assert gc.isenabled()
