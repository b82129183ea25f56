"""Long paths on Windows, by its process flag; what one call can reach, all can."""

from __future__ import annotations

import ast
import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from core import long_paths

ROOT = Path(__file__).resolve().parents[2]


def test_the_process_says_that_it_takes_long_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    block = (ctypes.c_ubyte * 8)(0, 0, 0, 0x04, 0, 0, 0, 0)

    class Function:
        restype: object = ctypes.c_int

        def __call__(self) -> int:
            # ctypes cuts off a pointer that is not declared as one.
            assert self.restype is ctypes.c_void_p
            return ctypes.addressof(block)

    ntdll = SimpleNamespace(RtlGetCurrentPeb=Function())
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(ntdll=ntdll), raising=False)
    long_paths.allow_long_paths()
    assert block[3] == 0x04
    monkeypatch.setattr(long_paths, "sys", SimpleNamespace(platform="win32"))
    long_paths.allow_long_paths()
    assert bytes(block) == bytes((0, 0, 0, 0x84, 0, 0, 0, 0))


def test_no_call_has_a_sign_of_its_own_for_long_paths() -> None:
    """It would reach files that the next call cannot."""
    found = []
    for path in [*ROOT.glob("core/**/*.py"), *ROOT.glob("app/**/*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {ast.get_docstring(n, clean=False) for n in ast.walk(tree) if _has_docstring(n)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and "\\\\?\\" in text and text not in docs:
                found.append(f"{path}:{node.lineno}")
    assert found == []


def _has_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
