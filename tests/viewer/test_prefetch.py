"""What is decoded, in which order, and what is kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QSize
from PySide6.QtGui import QImage

from app.viewer.decode import Picture
from app.viewer.prefetch import Loader, Request, Stage, around, thread_count

BOX = QSize(100, 100)


class Decoder:
    """Stands for decoding: notes what it is asked for, and waits while the gate is shut."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[str] = set()

    def __call__(self, path: str, box: QSize | None) -> Picture:
        self.asked.append(path)
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(20)
        image = QImage(box or QSize(1000, 1000), QImage.Format.Format_RGB32)
        return Picture(image, QSize(1000, 1000))


@pytest.fixture
def decoder() -> Decoder:
    return Decoder()


@pytest.fixture
def loader(styled: object, decoder: Decoder) -> Iterator[Loader]:
    loader = Loader(budget=10 * 40_000, threads=1, decoder=decoder)
    yield loader
    decoder.gate.set()
    loader.close()


def screen(*names: str) -> list[Request]:
    return [Request(name, Stage.SCREEN, BOX) for name in names]


def test_six_ahead_and_two_behind_the_nearest_first():
    assert around(10, 100, 1) == [10, 11, 12, 9, 13, 14, 15, 16, 8]
    assert around(10, 100, -1) == [10, 9, 8, 11, 7, 6, 5, 4, 12]
    assert around(0, 3, 1) == [0, 1, 2]


@given(st.integers(0, 50), st.integers(1, 50), st.sampled_from([1, -1]))
def test_only_positions_that_exist(position: int, count: int, direction: int):
    found = around(min(position, count - 1), count, direction)
    assert found[0] == min(position, count - 1)
    assert len(set(found)) == len(found)
    assert all(0 <= place < count for place in found)


def test_two_to_four_threads():
    assert [thread_count(cores) for cores in (1, 4, 6, 8, 64)] == [2, 2, 3, 4, 4]


def test_what_left_the_window_is_never_decoded(loader: Loader, decoder: Decoder, qtbot: Any):
    decoder.gate.clear()
    loader.want(screen("a", "b", "c", "d"))
    qtbot.waitUntil(lambda: decoder.asked == ["a"])
    for start in range(40):  # the key is held down
        loader.want(screen(f"x{start}", f"x{start + 1}"))
    loader.want(screen("y", "z"))
    decoder.gate.set()
    qtbot.waitUntil(loader.is_idle)
    assert decoder.asked == ["a", "y", "z"]


def test_nothing_is_decoded_twice(loader: Loader, decoder: Decoder, qtbot: Any):
    loader.want(screen("a", "b"))
    qtbot.waitUntil(lambda: loader.get("b", Stage.SCREEN) is not None)
    loader.want(screen("b", "a", "c"))
    qtbot.waitUntil(lambda: loader.get("c", Stage.SCREEN) is not None)
    assert decoder.asked == ["a", "b", "c"]


def test_another_window_size_decodes_anew(loader: Loader, decoder: Decoder, qtbot: Any):
    loader.want(screen("a"))
    qtbot.waitUntil(lambda: loader.get("a", Stage.SCREEN) is not None)
    loader.want([Request("a", Stage.SCREEN, QSize(50, 50))])
    qtbot.waitUntil(lambda: len(decoder.asked) == 2)


def test_the_budget_holds_and_the_screen_is_never_thrown_out(
    loader: Loader, decoder: Decoder, qtbot: Any
):
    loader.want(screen("first"), ["first"])
    qtbot.waitUntil(lambda: loader.get("first", Stage.SCREEN) is not None)
    for number in range(30):
        loader.want(screen(f"n{number}"), ["first"])
        qtbot.waitUntil(lambda n=number: loader.get(f"n{n}", Stage.SCREEN) is not None)
        assert loader.bytes <= loader.budget
    assert loader.get("first", Stage.SCREEN) is not None
    assert loader.get("n1", Stage.SCREEN) is None
    assert loader.get("n28", Stage.SCREEN) is not None
    loader.want([Request("n29", Stage.FULL, None)], ["n29"])
    qtbot.waitUntil(lambda: loader.get("n29", Stage.FULL) is not None)
    assert loader.get("n3", Stage.SCREEN) is None


def test_what_is_being_decoded_counts_too(loader: Loader, decoder: Decoder, qtbot: Any):
    whole = 4_000_000
    loader.set_budget(whole + 5 * 40_000)
    loader.want(screen(*"abcdefghij"))
    qtbot.waitUntil(lambda: loader.get("j", Stage.SCREEN) is not None)
    assert loader.bytes == 10 * 40_000
    decoder.gate.clear()
    loader.want([Request("j", Stage.FULL, None)], ["j"])
    assert loader.bytes == 5 * 40_000
    decoder.gate.set()
    qtbot.waitUntil(lambda: loader.get("j", Stage.FULL) is not None)
    assert loader.bytes == loader.budget


def test_a_file_replaced_while_it_is_decoded_is_decoded_again(
    loader: Loader, decoder: Decoder, qtbot: Any
):
    decoder.gate.clear()
    loader.want(screen("a"))
    qtbot.waitUntil(lambda: decoder.asked == ["a"])
    loader.forget("a")
    decoder.gate.set()
    qtbot.waitUntil(lambda: decoder.asked == ["a", "a"])
    qtbot.waitUntil(lambda: loader.get("a", Stage.SCREEN) is not None)


def test_the_gui_thread_never_decodes(loader: Loader, decoder: Decoder, qtbot: Any):
    loader.want(screen("a", "b"))
    qtbot.waitUntil(lambda: loader.get("b", Stage.SCREEN) is not None)
    assert threading.current_thread().name not in decoder.threads


def test_closing_waits_for_no_picture_and_tells_nothing_more(
    loader: Loader, decoder: Decoder, qtbot: Any
):
    told: list[str] = []
    loader.arrived.connect(lambda path, _stage: told.append(path))
    decoder.gate.clear()
    loader.want(screen("a", "b"))
    qtbot.waitUntil(lambda: decoder.asked == ["a"], timeout=20000)
    loader.close()
    working = [t for t in threading.enumerate() if t.name == "decode-0"]
    assert working
    decoder.gate.set()
    for thread in working:
        thread.join(20)
    qtbot.wait(50)
    assert told == []
    assert decoder.asked == ["a"]
