"""ONNX files written byte by byte (protobuf's wire format), so that no package is needed for it.

Field numbers are those of onnx.proto3 in the ONNX specification.
"""

from __future__ import annotations

import numpy as np


def _varint(number: int) -> bytes:
    result = b""
    while True:
        number, low = number >> 7, number & 0x7F
        if not number:
            return result + bytes([low])
        result += bytes([low | 0x80])


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _value_info(name: str, shape: list[int | str]) -> bytes:
    dims = b"".join(
        _bytes(1, _int(1, side) if isinstance(side, int) else _bytes(2, side)) for side in shape
    )
    tensor = _int(1, 1) + _bytes(2, dims)  # element type 1 is float32
    return _bytes(1, name) + _bytes(2, _bytes(1, tensor))


def _initializer(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(_int(1, side) for side in values.shape)
    raw = values.astype("<f4").tobytes()
    return dims + _int(2, 1) + _bytes(8, name) + _bytes(9, raw)


def _node(kind: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    named = b"".join(_bytes(1, name) for name in inputs)
    return named + _bytes(2, output) + _bytes(4, kind) + attributes


def linear_model(
    shape: list[int | str], weights: np.ndarray, bias: np.ndarray, declared: int | None = None
) -> bytes:
    """An ONNX model: sigmoid(flatten(picture) / 255 @ weights + bias).

    shape: of its input; weights: (pixels * 3, tags); declared: another number of tags than the
    weights have in the file's description.
    """
    axis = _bytes(5, _bytes(1, "axis") + _int(3, 1) + _int(20, 2))
    nodes = [
        _node("Flatten", ["picture"], "flat", axis),
        _node("MatMul", ["flat", "weights"], "product"),
        _node("Add", ["product", "bias"], "sum"),
        _node("Sigmoid", ["sum"], "chances"),
    ]
    tags = declared or weights.shape[1]
    graph = b"".join(_bytes(1, node) for node in nodes)
    graph += _bytes(2, "tagger")
    graph += _bytes(5, _initializer("weights", weights / 255.0))
    graph += _bytes(5, _initializer("bias", bias))
    graph += _bytes(11, _value_info("picture", shape))
    graph += _bytes(12, _value_info("chances", [shape[0], tags]))
    return _int(1, 8) + _bytes(2, "tests") + _bytes(7, graph) + _bytes(8, _int(2, 13))
