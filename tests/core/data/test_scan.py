"""Finding pictures: natural order, nothing twice, nothing hidden."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import scan as scan_module
from core.data.companions import mask_beside
from core.data.scan import natural_key, scan_folder
from core.errors import Stopped


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def _names(folder: Path, include_subfolders: bool = True) -> list[str]:
    found = scan_folder(folder, include_subfolders)
    assert found.problems == []
    return [path.relative_to(folder).as_posix() for path in found]


def test_natural_order_files_before_subfolders(folder: Path) -> None:
    _touch(folder, "b10.png", "B2.PNG", "a.jpg", "sub 10/1.webp", "sub 2/x.gif", "sub 2/z/y.bmp")
    assert _names(folder) == [
        *("a.jpg", "B2.PNG", "b10.png"),
        *("sub 2/x.gif", "sub 2/z/y.bmp", "sub 10/1.webp"),
    ]
    assert _names(folder, include_subfolders=False) == ["a.jpg", "B2.PNG", "b10.png"]


def test_what_is_no_picture_is_left_out(folder: Path) -> None:
    _touch(folder, "a.png", "a.txt", "a-masklabel.png", "a-condlabel.PNG", "._a.png", "png")
    _touch(folder, ".git/b.png", ".hidden.jpg", "noext")
    (folder / "folder.png").mkdir()
    assert _names(folder) == ["a.png"]


def test_a_folder_named_like_a_picture_is_searched(folder: Path) -> None:
    _touch(folder, "set.png/a.png")
    assert _names(folder) == ["set.png/a.png"]


def test_odd_names(folder: Path) -> None:
    names = ["ünï 猫.png", "with space.jpg", "a\nb.png", "🤖.webp"]
    _touch(folder, *names)
    assert sorted(_names(folder)) == sorted(names)


def test_links_in_a_circle_end(folder: Path) -> None:
    _touch(folder, "a.png", "sub/b.png")
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "self").symlink_to("self")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "broken.png").symlink_to("nowhere.png")
    (folder / "again").symlink_to(folder / "sub", target_is_directory=True)
    found = [path.name for path in scan_folder(folder, True)]
    assert sorted(found) == ["a.png", "b.png", "broken.png", "loop.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders")
def test_a_link_to_a_pipe_is_no_picture(folder: Path) -> None:
    _touch(folder, "a.png")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.png")
    (folder / "b.png").symlink_to("pipe")
    assert _names(folder) == ["a.png"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a b-masklabel.png", True),
        ("a b-masklabel.PNG", True),
        ("a b-MaskLabel.Png", True),
        ("A B-masklabel.png", True),
        ("a b-masklabel.webp", True),
        ("a b-MASKLABEL.JPEG", True),
        ("a-masklabel.png", False),
        ("a b.masklabel.png", False),
    ],
)
def test_masks_are_found_beside_their_picture(folder: Path, name: str, found: bool) -> None:
    _touch(folder, "a b.jpg", name, "sub/a b.jpg")
    (folder / "c-masklabel.png").mkdir()
    assert mask_beside(folder / "a b.jpg") == (folder / name if found else None)
    assert mask_beside(folder / "sub" / "a b.jpg") is None
    assert mask_beside(folder / "c.png") is None
    assert mask_beside(folder / "nowhere" / "a b.jpg") is None


def test_linked_files_and_folders_are_followed(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    _touch(other, "c.png")
    (folder / "linked").symlink_to(other, target_is_directory=True)
    (folder / "d.png").symlink_to(other / "c.png")
    assert _names(folder) == ["d.png", "linked/c.png"]


def test_missing_folder_and_file_are_errors(folder: Path) -> None:
    _touch(folder, "a.png")
    for path, code in ((folder / "gone", "folder_missing"), (folder / "a.png", "folder_is_file")):
        found = scan_folder(path, False)
        assert len(found) == 0
        assert [(p.code, p.severity) for p in found.problems] == [(code, "error")]
        assert str(path) in found.problems[0].title


def test_unreadable_subfolder_is_a_warning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(folder, "a.png", "closed/b.png", "open/c.png")
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(scan_module.os, "scandir", scandir)
    found = scan_folder(folder, True)
    assert [path.name for path in found] == ["a.png", "c.png"]
    assert [(p.code, p.severity) for p in found.problems] == [("folder_unreadable", "warning")]
    assert "closed" in found.problems[0].title


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_folder_without_permission_is_an_error(folder: Path) -> None:
    folder.chmod(0)
    try:
        found = scan_folder(folder, True)
    finally:
        folder.chmod(0o700)
    assert [(p.code, p.severity) for p in found.problems] == [("folder_unreadable", "error")]


def test_stop_is_honoured(folder: Path) -> None:
    _touch(folder, "a.png")
    with pytest.raises(Stopped):
        scan_folder(folder, True, stop=lambda: True)
    assert len(scan_folder(folder, True, stop=lambda: False)) == 1


@given(st.lists(st.text("aAß1٣² _-", min_size=1, max_size=8), unique=True))
def test_natural_key_orders_every_name_and_tells_all_apart(names: list[str]) -> None:
    once = sorted(names, key=natural_key)
    assert sorted(reversed(names), key=natural_key) == once
    assert len({repr(natural_key(name)) for name in names}) == len(names)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_natural_key_compares_numbers(a: int, b: int) -> None:
    assert (natural_key(f"p{a}.png") < natural_key(f"p{b}.png")) == (a < b)
