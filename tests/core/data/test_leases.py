"""The cache keeps to its size and takes nothing from a training that runs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from core.data import leases
from core.data.cache import TensorCache, content_key
from core.data.leases import begin_lease, cache_size, trim

SIZE = 1000  # floats in an entry; with its header an entry is a little over 4000 bytes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache 缓存"


def fill(root: Path, *names: str, folder: str = "latents", age: float = 1000.0) -> list[str]:
    """Entries that were used `age` seconds ago, the first longest."""
    cache = TensorCache(root / folder)
    keys = []
    for number, name in enumerate(names):
        key = content_key(name)
        assert cache.put(key, {"tensor": torch.zeros(SIZE)})
        when = time.time() - age + number
        os.utime(cache.path_of(key), (when, when))
        keys.append(key)
    return keys


def left(root: Path) -> set[str]:
    return {path.stem for path in root.rglob("*.safetensors")}


def test_within_the_limit_nothing_goes(root: Path) -> None:
    fill(root, "a", "b")
    fill(root, "c", folder="text")
    size = cache_size(root)
    assert size.entries == 3 and 12_000 < size.bytes < 14_000
    assert trim(size.bytes, root) == size and len(left(root)) == 3


def test_the_longest_unused_go_first_until_it_fits(root: Path) -> None:
    old = fill(root, "a", "b", "c")
    text = fill(root, "t", folder="text", age=5000)
    each = cache_size(root).bytes // 4
    after = trim(2 * each + 10, root)
    assert left(root) == set(old[1:])
    assert after.entries == 2 and after.bytes <= 2 * each + 10 and after.removed >= 2 * each
    assert text[0] not in left(root)
    assert trim(0, root).entries == 0 and not left(root)


def test_use_keeps_an_entry_young(root: Path) -> None:
    keys = fill(root, "a", "b", "c", "d")
    cache = TensorCache(root / "latents")
    assert cache.get(keys[0]) is not None and cache.has(keys[1])
    trim(cache_size(root).bytes / 2, root)
    assert left(root) == {keys[0], keys[1]}


def test_a_preparing_job_keeps_all_it_has_used(root: Path) -> None:
    keys = fill(root, "a", "b", "c")
    lease = begin_lease(root)
    cache = TensorCache(root / "latents")
    cache.get(keys[1])
    cache.put(content_key("new"), {"tensor": torch.zeros(SIZE)})
    trim(0, root)
    assert left(root) == {keys[1], content_key("new")}
    lease.end()
    trim(0, root)
    assert not left(root)


def test_a_prepared_job_keeps_what_it_named(root: Path) -> None:
    keys = fill(root, "a", "b", "c")
    lease = begin_lease(root)
    TensorCache(root / "latents").get(keys[2])
    lease.name([keys[0], content_key("never made")])
    trim(0, root)
    assert left(root) == {keys[0]}
    lease.end()
    assert not list((root / "leases").glob("*.lease"))


def test_a_full_disk_that_keeps_a_job_from_naming_costs_it_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = fill(root, "a", "b", "c")
    lease = begin_lease(root)
    TensorCache(root / "latents").get(keys[1])
    real, written = os.write, []

    def full(handle: int, data: bytes) -> int:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(real(handle, data[:70]))
        return written[0]

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        lease.name(keys)
    assert written
    trim(0, root)
    assert left(root) == {keys[1]}
    lease.end()


def test_leases_of_dead_processes_go_also_while_there_is_room(root: Path) -> None:
    keys = fill(root, "a")
    dead = start(root, *keys)
    dead.kill()
    dead.communicate()
    assert list((root / "leases").glob("*.lease"))
    trim(1e9, root)
    assert not list((root / "leases").glob("*.lease")) and left(root) == set(keys)


_JOB = """
import sys, time
from pathlib import Path
from core.data.leases import begin_lease
lease = begin_lease(Path(sys.argv[1]))
if sys.argv[2:]:
    lease.name(sys.argv[2:])
print("ready", flush=True)
sys.stdin.read(1)
"""


def start(root: Path, *keys: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _JOB, str(root), *keys],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_jobs_of_other_processes_are_respected_until_they_die(root: Path) -> None:
    keys = fill(root, "a", "b", "c", "d")
    named, preparing = start(root, keys[0], keys[1]), start(root)
    try:
        TensorCache(root / "latents").get(keys[3])
        trim(0, root)
        assert left(root) == {keys[0], keys[1], keys[3]}
        # A killed process leaves its lease behind, which then means nothing.
        named.kill()
        named.wait()
        trim(0, root)
        assert left(root) == {keys[3]}
        assert len(list((root / "leases").glob("*.lease"))) == 1
    finally:
        for process in (named, preparing):
            process.kill()
            process.communicate()
    trim(0, root)
    assert not left(root) and not list((root / "leases").glob("*.lease"))


def test_a_lease_that_is_just_being_made_protects(root: Path) -> None:
    keys = fill(root, "a")
    folder = root / "leases"
    folder.mkdir(parents=True)
    (folder / "1-x.lease").touch()
    TensorCache(root / "latents").get(keys[0])
    trim(0, root)
    assert left(root) == set(keys)
    os.utime(folder / "1-x.lease", (0, 0))
    trim(0, root)
    assert not left(root)


def test_an_entry_used_meanwhile_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = fill(root, "a", "b")
    cache = TensorCache(root / "latents")
    real = leases._claims

    def use_it(where: Path) -> leases._Claims:
        found = real(where)
        cache.get(keys[1])
        return found

    monkeypatch.setattr(leases, "_claims", use_it)
    trim(0, root)
    assert left(root) == {keys[1]}


def test_two_at_once_leave_it_to_the_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, "a", "b", "c")
    inside, go_on = threading.Event(), threading.Event()
    real = leases._claims

    def wait(where: Path) -> leases._Claims:
        inside.set()
        assert go_on.wait(20)
        return real(where)

    monkeypatch.setattr(leases, "_claims", wait)
    first = threading.Thread(target=trim, args=(0, root))
    first.start()
    assert inside.wait(20)
    assert trim(0, root).removed == 0 and len(left(root)) == 3
    go_on.set()
    first.join()
    assert not left(root)


def test_leftovers_of_killed_writers_go(root: Path) -> None:
    keys = fill(root, "a")
    folder = root / "latents" / keys[0][:2]
    old, young = folder / ".writing-old", folder / ".writing-young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    trim(1e9, root)
    assert not old.exists() and young.exists() and left(root) == set(keys)


def test_without_a_place_to_write_nothing_is_raised(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    lease = begin_lease(blocked)
    lease.name(["a"])
    lease.end()
    assert trim(0, blocked) == cache_size(blocked) == leases.CacheSize(0, 0)
