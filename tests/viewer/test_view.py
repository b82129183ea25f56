"""Zooming and moving: plain geometry."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPointF, QSize
from pytest import approx

from app.viewer.decode import fitting
from app.viewer.view import FIT, View, panned, scale_of, target_of, zoomed

sizes = st.builds(QSize, st.integers(1, 9000), st.integers(1, 9000))
boxes = st.builds(QSize, st.integers(50, 4000), st.integers(50, 3000))


@given(sizes, boxes)
def test_a_fitted_picture_lies_inside_in_the_size_it_is_decoded_in(picture: QSize, box: QSize):
    target = target_of(FIT, picture, box)
    assert target.width() <= box.width() + 0.5
    assert target.height() <= box.height() + 0.5
    if scale_of(FIT, picture, box) < 1:
        assert target.size() == fitting(picture, box).toSizeF()
        assert target.topLeft() == QPointF(round(target.left()), round(target.top()))


@given(sizes, boxes)
def test_filling_leaves_no_margin(picture: QSize, box: QSize):
    target = target_of(View("fill"), picture, box)
    assert target.left() <= 0.5 and target.top() <= 0.5
    assert target.right() >= box.width() - 0.5
    assert target.bottom() >= box.height() - 0.5


def test_the_point_under_the_pointer_stays_when_zooming():
    picture, box = QSize(4000, 3000), QSize(1000, 800)
    at = QPointF(700, 350)
    before = target_of(FIT, picture, box)
    x = (at.x() - before.left()) / before.width()
    y = (at.y() - before.top()) / before.height()
    view = zoomed(FIT, 1.0, at, picture, box)
    after = target_of(view, picture, box)
    assert after.left() + x * after.width() == approx(at.x(), abs=1)
    assert after.top() + y * after.height() == approx(at.y(), abs=1)
    assert scale_of(view, picture, box) == 1.0


@given(sizes, boxes, st.floats(-5000, 5000), st.floats(-5000, 5000))
def test_a_picture_never_leaves_the_window(picture: QSize, box: QSize, x: float, y: float):
    view = panned(View("free", 2.0), QPointF(x, y), picture, box)
    target = target_of(view, picture, box)
    if target.width() >= box.width():
        assert target.left() <= 0.5 and target.right() >= box.width() - 1.5
    if target.height() >= box.height():
        assert target.top() <= 0.5 and target.bottom() >= box.height() - 1.5


def test_an_icon_is_not_blown_up_to_the_whole_screen():
    assert scale_of(FIT, QSize(16, 16), QSize(1600, 1600)) == 3.0


def test_what_nearly_fills_the_window_is_shown_pixel_for_pixel():
    assert scale_of(FIT, QSize(1024, 1024), QSize(1920, 1080)) == 1.0
    assert scale_of(FIT, QSize(800, 800), QSize(1920, 1080)) == approx(1.35)
    assert scale_of(FIT, QSize(1100, 1100), QSize(1920, 1080)) < 1
