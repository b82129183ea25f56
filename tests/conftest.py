"""What every test relies on: no network, no window on the screen, nothing in the user's folders.

The environment is set while this file is imported, before Qt, torch or a hub library reads it.
"""

from __future__ import annotations

import functools
import gc
import os
import socket
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.refusals import Refusals, momentary_refusals

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication
    from pytestqt.qtbot import QtBot

# WinError: a privilege that the account does not have.
_NO_LINKS = 1314

# A busy machine must not fail a test that is right.
hypothesis.settings.register_profile("limner", deadline=None)
hypothesis.settings.load_profile("limner")

_HOME = tempfile.TemporaryDirectory(prefix="limner-tests-", ignore_cleanup_errors=True)


def _isolate(home: Path) -> None:
    """Point all user folders below `home` and switch the hub libraries to offline."""
    folders = {
        "LIMNER_DATA_DIR": "limner",
        "XDG_DATA_HOME": "data",
        "XDG_CONFIG_HOME": "config",
        "XDG_CACHE_HOME": "cache",
        "XDG_STATE_HOME": "state",
        "HF_HOME": "huggingface",
    }
    for name, folder in folders.items():
        os.environ[name] = str(home / folder)
    os.environ.update(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        PYTHONUTF8="1",
        # Programs that tests start have no blocked sockets: nothing answers them here.
        HTTP_PROXY="http://127.0.0.1:9",
        HTTPS_PROXY="http://127.0.0.1:9",
    )
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # The tests' models are tiny: a second thread gains nothing, and where other programs use the
    # processor it costs a hundredfold, because each step waits for the slower thread.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


_isolate(Path(_HOME.name))


class NetworkBlocked(OSError):
    """A test reached for the network."""


_attempts: list[str] = []
_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex
_sendto = socket.socket.sendto
_getaddrinfo = socket.getaddrinfo


def _is_local(family: int, address: Any) -> bool:
    """Whether an address never leaves the machine by a network.

    Windows has no socket pairs: asyncio there builds its own from the loopback address.
    """
    if family == getattr(socket, "AF_UNIX", None):
        return True
    loopback = isinstance(address, tuple) and address[0] in ("127.0.0.1", "::1")
    return sys.platform == "win32" and loopback


def _refuse(what: str) -> NetworkBlocked:
    _attempts.append(what)
    return NetworkBlocked(f"tests have no network: {what}")


def _guarded_connect(self: socket.socket, address: Any) -> Any:
    if _is_local(self.family, address):
        return _connect(self, address)
    raise _refuse(f"connect to {address!r}")


def _guarded_connect_ex(self: socket.socket, address: Any) -> Any:
    if _is_local(self.family, address):
        return _connect_ex(self, address)
    raise _refuse(f"connect to {address!r}")


def _guarded_sendto(self: socket.socket, data: Any, *rest: Any) -> Any:
    if _is_local(self.family, rest[-1]):
        return _sendto(self, data, *rest)
    raise _refuse(f"send to {rest[-1]!r}")


def _guarded_getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
    if host in (None, "", "localhost", "127.0.0.1", "::1"):
        return _getaddrinfo(host, *rest, **named)
    raise _refuse(f"look up {host!r}")


def pytest_configure() -> None:
    """Block the network for the whole session, collection included."""
    # Tests read and write text files as Python does where nothing is said, which is UTF-8
    # everywhere else.
    if sys.platform == "win32" and not sys.flags.utf8_mode:
        raise pytest.UsageError("Set PYTHONUTF8=1 before pytest, as `start.bat test` does.")
    socket.socket.connect = _guarded_connect  # type: ignore[method-assign]
    socket.socket.connect_ex = _guarded_connect_ex  # type: ignore[method-assign]
    socket.socket.sendto = _guarded_sendto  # type: ignore[method-assign]
    socket.getaddrinfo = _guarded_getaddrinfo


def pytest_unconfigure() -> None:
    """Give the network back and remove the session's folders."""
    socket.socket.connect = _connect  # type: ignore[method-assign]
    socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign]
    socket.socket.sendto = _sendto  # type: ignore[method-assign]
    socket.getaddrinfo = _getaddrinfo
    _HOME.cleanup()


@pytest.fixture(autouse=True)
def no_network() -> Iterator[list[str]]:
    """Fail a test that reached for the network, also where a library swallowed the error.

    Yields the list of attempts; a test that means to try clears it.
    """
    _attempts.clear()
    yield _attempts
    assert not _attempts, f"the test reached for the network: {_attempts}"


@pytest.fixture(autouse=True)
def limner_data_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> Path:
    """An empty user data folder for this test alone (LIMNER_DATA_DIR)."""
    folder = tmp_path_factory.mktemp("limner-data")
    monkeypatch.setenv("LIMNER_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> Iterator[Refusals]:
    """Every file that was just written is held by a virus scanner for one try, as on Windows."""
    from core import files

    monkeypatch.setattr(files, "_WAITS", (0.0,) * 9)
    with momentary_refusals(monkeypatch) as told:
        yield told


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """A test that needs symbolic links is skipped where Windows permits none."""
    try:
        yield
    except OSError as error:
        skip_without_links(error)
        raise


def skip_without_links(error: OSError) -> None:
    """Skip the test where `error` says that this account may not make symbolic links."""
    if getattr(error, "winerror", None) == _NO_LINKS:
        pytest.skip("Windows permits symbolic links in its developer mode alone")


@pytest.fixture
def gui_collector() -> Iterator[None]:
    """Collect cycles in this thread alone while a test has a window, as the program does.

    What the test leaves behind is destroyed at its end, here, and not later in some thread.
    """
    gc.disable()
    yield
    gc.collect()
    gc.enable()


@pytest.fixture
def qtbot(qtbot: QtBot) -> QtBot:
    """pytest-qt's, which waits longer: a busy machine must not fail a test that is right."""
    qtbot.waitUntil = functools.partial(qtbot.waitUntil, timeout=20000)
    qtbot.waitSignal = functools.partial(qtbot.waitSignal, timeout=20000)
    return qtbot


@pytest.fixture(scope="session")
def _prepared(qapp: QApplication) -> QApplication:
    """The application with Limner's light theme, made once."""
    from app import theme
    from app.window import prepare

    prepare(qapp)
    theme.apply("light")
    return qapp


@pytest.fixture
def styled(_prepared: QApplication) -> Iterator[QApplication]:
    """The application with Limner's light theme, given back as it was."""
    from app import theme

    font, mode = _prepared.font(), theme.notifier().mode
    yield _prepared
    if _prepared.font() != font or theme.notifier().mode != mode:
        _prepared.setFont(font)
        theme.apply(mode)
