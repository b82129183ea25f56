"""The cache is never stale, survives damage, a full disk and several writers."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.data import cache as cache_module
from core.data.buckets import make_buckets, place
from core.data.cache import FileDigests, TensorCache, content_key, latent_key, text_key

KEY = content_key("a")


@pytest.fixture
def cache(tmp_path: Path) -> TensorCache:
    return TensorCache(tmp_path / "latents")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(4, 8, 8), (77, 5), (1,), (0, 3)])
def test_what_is_put_is_got(cache: TensorCache, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensor = torch.randn(*shape).to(dtype)
    assert cache.get(KEY) is None and not cache.has(KEY)
    more = torch.arange(3)
    assert cache.put(KEY, {"tensor": tensor, "more": more})
    got = cache.get(KEY)
    assert got is not None and got.keys() == {"tensor", "more"}
    assert got["tensor"].dtype == dtype and torch.equal(got["tensor"], tensor)
    assert torch.equal(got["more"], more)
    assert cache.has(KEY)
    path = cache.path_of(KEY)
    assert path.relative_to(cache.folder).as_posix() == f"{KEY[:2]}/{KEY}.safetensors"
    assert os.listdir(path.parent) == [path.name]


def test_views_are_stored_by_their_values(cache: TensorCache) -> None:
    tensor = torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)[1:]
    cache.put(KEY, {"tensor": tensor})
    got = cache.get(KEY)
    assert got is not None and torch.equal(got["tensor"], tensor)


def test_every_kind_of_damage_is_noticed_and_removed(cache: TensorCache) -> None:
    tensor = torch.randn(4, 8, 8)
    cache.put(KEY, {"tensor": tensor})
    path = cache.path_of(KEY)
    good = path.read_bytes()
    damaged = [good[:cut] for cut in range(0, len(good), 41)]
    damaged += [
        good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        for place in range(len(good) - 1024, len(good), 100)
    ]
    damaged += [b"\xff" * 100, b"<html>", (2).to_bytes(8, "little") + b"{}", good + b"more"]
    for data in damaged:
        path.write_bytes(data)
        assert cache.get(KEY) is None
        assert not path.exists()
    cache.put(KEY, {"tensor": tensor})
    assert path.read_bytes() == good


def test_pickles_are_never_read(cache: TensorCache, tmp_path: Path) -> None:
    path = cache.path_of(KEY)
    path.parent.mkdir(parents=True)
    torch.save(torch.ones(3), path)
    assert cache.get(KEY) is None


def test_full_disk_is_told_once_and_nothing_more_is_written(
    cache: TensorCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def full(path: Path, data: bytes) -> None:
        attempts.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module, "_replace", full)
    assert not cache.put(KEY, {"tensor": torch.ones(2)})
    assert cache.problem is not None and cache.problem.code == "cache_unwritable"
    assert cache.problem.severity == "warning" and "No space left" in cache.problem.detail
    assert "make room" in cache.problem.title
    assert not cache.put(content_key("b"), {"tensor": torch.ones(2)})
    assert len(attempts) == 1


def test_a_file_in_the_folders_place_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"mine")
    cache = TensorCache(tmp_path / "cache")
    assert (
        not cache.put(KEY, {"tensor": torch.ones(2)})
        and cache.get(KEY) is None
        and not cache.has(KEY)
    )
    assert cache.problem is not None and "look at the folder" in cache.problem.title
    assert (tmp_path / "cache").read_bytes() == b"mine"


def test_failed_write_leaves_nothing_behind(
    cache: TensorCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(source: str, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(cache_module.os, "replace", broken)
    assert not cache.put(KEY, {"tensor": torch.ones(2)})
    assert list(cache.path_of(KEY).parent.iterdir()) == []


def test_many_writers_of_one_entry(cache: TensorCache) -> None:
    tensor = torch.randn(4, 64, 64)
    wrong: list[object] = []

    def work() -> None:
        other = TensorCache(cache.folder)
        for _ in range(20):
            if not other.put(KEY, {"tensor": tensor}):
                wrong.append("put")
            got = other.get(KEY)
            if got is None or not torch.equal(got["tensor"], tensor):
                wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_latent_key_depends_on_everything() -> None:
    placement = place((100, 80), make_buckets(64, 8))
    keys = {
        latent_key("f", placement, (255, 255, 255), "vae", "float32"),
        latent_key("g", placement, (255, 255, 255), "vae", "float32"),
        latent_key("f", replace(placement, crop=(1, 0)), (255, 255, 255), "vae", "float32"),
        latent_key("f", replace(placement, resized=(99, 99)), (255, 255, 255), "vae", "float32"),
        latent_key("f", placement, (0, 0, 0), "vae", "float32"),
        latent_key("f", placement, (255, 255, 255), "other", "float32"),
        latent_key("f", placement, (255, 255, 255), "vae", "bfloat16"),
        text_key("f", 77, "text"),
        text_key("f", 154, "text"),
        text_key("g", 77, "text"),
        text_key("f", 77, "other"),
        text_key("\ud800 lone", 77, "other"),
    }
    assert len(keys) == 12
    assert latent_key("f", placement, (255, 255, 255), "vae", "float32") in keys


def _old(path: Path) -> None:
    """Make a file look as if it was written a minute ago."""
    then = time.time_ns() - 60 * 10**9
    os.utime(path, ns=(then, then))


def test_unchanged_files_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "猫 a.png"
    path.write_bytes(b"hello")
    _old(path)
    hashed = []
    real = cache_module.hashlib.file_digest
    monkeypatch.setattr(
        cache_module.hashlib,
        "file_digest",
        lambda file, name: hashed.append(file.name) or real(file, name),
    )
    index = tmp_path / "index.jsonl"
    digests = FileDigests(index)
    digest = digests.digest(path)
    assert digest == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert digests.digest(path) == digest and len(hashed) == 1
    digests.save()
    assert FileDigests(index).digest(path) == digest and len(hashed) == 1
    path.write_bytes(b"world")
    assert FileDigests(index).digest(path) != digest and len(hashed) == 2


def test_a_killed_process_has_not_hashed_all_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(250)]
    for path in paths:
        path.write_bytes(path.name.encode())
        _old(path)
    index = tmp_path / "index.jsonl"
    killed = FileDigests(index)
    wanted = [killed.digest(path) for path in paths]
    hashed = []
    real = cache_module.hashlib.file_digest
    monkeypatch.setattr(
        cache_module.hashlib,
        "file_digest",
        lambda file, name: hashed.append(file.name) or real(file, name),
    )
    digests = FileDigests(index)
    assert [digests.digest(path) for path in paths] == wanted
    assert len(hashed) < 125


def test_a_file_just_written_is_not_trusted_to_stay(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    status = path.stat()
    digests = FileDigests(tmp_path / "index.jsonl")
    first = digests.digest(path)
    path.write_bytes(b"two")
    # As a coarse clock would show it: same size, same time.
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert digests.digest(path) != first


def test_damaged_index_costs_only_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"hello")
    _old(path)
    index = tmp_path / "index.jsonl"
    index.write_bytes(b'["half a li\n{}\nnull\n[1,2,3,4]\n\xff\xfe\n["x", "y", 3, "z"]\n["cut off')
    digests = FileDigests(index)
    digest = digests.digest(path)
    digests.save()
    again = FileDigests(index)
    path.write_bytes(b"other")
    assert again.digest(path) != digest
    known = [line for line in index.read_text("ascii", "replace").split("\n") if digest in line]
    assert json.loads(known[0])[3] == digest


def test_index_does_not_grow_without_end(tmp_path: Path) -> None:
    index = tmp_path / "index.jsonl"
    line = json.dumps(["/a", 1, 2, "0" * 64])
    index.write_text((line + "\n") * 5000)
    FileDigests(index)
    assert index.read_text().count("\n") == 1


def test_missing_file_raises_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        FileDigests(tmp_path / "index.jsonl").digest(tmp_path / "gone")
