"""The window. PySide6 only: torch and everything that stands on it stay in the worker."""

import ctypes
import sys

if sys.version_info < (3, 12):
    # PySide 6.12.0 is built as if None and True could not die, which is so only from Python 3.12
    # on (PEP 683): each call without a result drops a reference to None, each emit one to True,
    # and after some minutes Python aborts in none_dealloc. Here they get as many references as
    # no session can use up. tests/app/test_singletons.py tells when this is no longer needed.
    for _single in (None, True, False):
        ctypes.c_ssize_t.from_address(id(_single)).value += 1 << 40
