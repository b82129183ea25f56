"""The safeguards of conftest.py hold."""

import os
import socket
import urllib.request
from pathlib import Path

import pytest

from core import paths
from tests.conftest import skip_without_links


def test_network_is_refused_and_noticed(no_network):
    with pytest.raises(OSError, match="no network"):
        socket.create_connection(("example.org", 80), timeout=1)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream, pytest.raises(OSError):
        stream.connect(("192.0.2.1", 80))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, pytest.raises(OSError):
        datagram.sendto(b"x", ("192.0.2.1", 53))
    assert len(no_network) == 3
    no_network.clear()


def test_a_swallowed_attempt_is_noticed_too(no_network):
    with pytest.raises(OSError):
        urllib.request.urlopen("http://example.org", timeout=1)
    assert no_network
    no_network.clear()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no local sockets on this system")
def test_local_sockets_work():
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"hello")
        assert other.recv(5) == b"hello"


def test_user_folders_are_temporary(limner_data_dir):
    for folder in (
        paths.user_data_dir(),
        paths.user_presets_dir(),
        paths.default_runs_dir(),
        paths.cache_dir(),
        paths.session_file(),
    ):
        assert folder.is_relative_to(limner_data_dir)
    assert not Path(os.environ["XDG_DATA_HOME"]).is_relative_to(Path.home() / ".local")


def test_a_test_without_the_right_to_make_links_is_skipped():
    error = OSError(22, "A required privilege is not held by the client")
    skip_without_links(error)
    error.winerror = 1314  # type: ignore[attr-defined,unused-ignore]
    with pytest.raises(pytest.skip.Exception, match="symbolic links"):
        skip_without_links(error)
