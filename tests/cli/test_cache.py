"""`limner cache` shows the cache and makes it smaller, but not by what a training needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core import paths
from core.cli.commands import main
from core.data.leases import begin_lease


def add(name: str, size: int = 1000) -> Path:
    path = paths.cache_dir() / "latents" / name[:2] / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0" * size)
    return path


def test_shows_and_clears(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = add("aa1"), add("bb2", 500_000)
    assert main(["cache"]) == 0
    assert "2 entries, 0.5 MB" in capsys.readouterr().out
    assert first.exists() and second.exists()
    assert main(["cache", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["entries"] == 2 and shown["bytes"] == 501_000 and shown["removed"] == 0
    lease = begin_lease()
    lease.name(["aa1"])
    assert main(["cache", "--clear"]) == 0
    told = capsys.readouterr().out
    assert "Removed 0.5 MB" in told and "training that runs" in told
    assert first.exists() and not second.exists()
    lease.end()
    assert main(["cache", "--clear"]) == 0 and not first.exists()
    assert main(["cache"]) == 0
    assert "0 entries" in capsys.readouterr().out


def test_limit_keeps_the_newest(capsys: pytest.CaptureFixture[str]) -> None:
    import os

    old, new = add("aa1", 600_000), add("bb2", 600_000)
    os.utime(old, (1, 1))
    assert main(["cache", "--limit", "0.0007"]) == 0
    assert new.exists() and not old.exists()
    assert "Removed 0.6 MB" in capsys.readouterr().out
