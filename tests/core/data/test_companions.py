"""Which files belong to a picture, by whatever system their names were written."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from core.config.concepts import Concept
from core.data.captions import captions_of
from core.data.companions import (
    PICTURE_SUFFIXES,
    caption_beside,
    companions_of,
    mask_beside,
    texts_without_picture,
)
from core.data.scan import is_picture_name, scan_folder


def apart(text: str) -> str:
    """The text with its accents apart from their letters, as Macs write names."""
    return unicodedata.normalize("NFD", text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "Bilder"
    folder.mkdir()
    return folder


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(f"caption in {unicodedata.normalize('NFC', name)}")


@pytest.mark.parametrize(
    ("picture", "caption"),
    [
        ("a.png", "a.txt"),
        ("a.png", "a.TXT"),
        ("a.PNG", "a.Caption"),
        ("b.png", "b.png.txt"),
        ("IMG_1.JPG", "img_1.txt"),
        ("é4.png", apart("é4.txt")),
        (apart("é4.png"), "é4.txt"),
        ("e.jpg.png", "e.jpg.txt"),
        ("g.v1.5.png", "g.v1.5.txt"),
        ("f .png", "f .txt"),
        ("ß.png", "ß.txt"),
    ],
)
def test_the_caption_is_found_however_it_is_spelled(
    folder: Path, picture: str, caption: str
) -> None:
    fill(folder, picture, caption, "other.png", "other.txt")
    assert caption_beside(folder / picture) == folder / caption
    concept = Concept(path=str(folder))
    text = f"caption in {unicodedata.normalize('NFC', caption)}"
    assert captions_of(concept, folder / picture) == ((text,), False)
    assert texts_without_picture(folder) == []


def test_the_exactly_spelled_one_goes_first_and_anothers_is_not_taken(folder: Path) -> None:
    fill(folder, "a.png", "A.png", "A.txt")
    assert caption_beside(folder / "A.png") == folder / "A.txt"
    assert caption_beside(folder / "a.png") is None
    fill(folder, "a.txt", "a.png.txt")
    assert caption_beside(folder / "a.png") == folder / "a.txt"
    assert caption_beside(folder / "A.png") == folder / "A.txt"
    fill(folder, "b.png", "b.png.jpg", "b.png.txt")
    assert caption_beside(folder / "b.png.jpg") == folder / "b.png.txt"


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
@pytest.mark.parametrize("ending", ["-masklabel", "-MaskLabel", "-condlabel"])
def test_masks_of_every_format_are_never_pictures(folder: Path, ending: str, suffix: str) -> None:
    name = f"photo{ending}{suffix}"
    fill(folder, "photo.png", name)
    assert not is_picture_name(name)
    assert [path.name for path in scan_folder(folder, False)] == ["photo.png"]
    mask = mask_beside(folder / "photo.png")
    assert mask == (folder / name if "mask" in ending.lower() else None)
    assert companions_of(folder / "photo.png") == [folder / name]


def test_a_mask_whose_accents_are_apart_belongs_to_its_picture(folder: Path) -> None:
    fill(folder, "é4.png", apart("é4-masklabel.png"))
    assert mask_beside(folder / "é4.png") == folder / apart("é4-masklabel.png")


def test_texts_that_belong_to_no_picture_are_named(folder: Path) -> None:
    fill(folder, "a.png", "a.txt", "lost.txt", "Readme.TXT", ".hidden.txt", "b.jpg.txt", "c.md")
    assert texts_without_picture(folder) == ["Readme.TXT", "b.jpg.txt", "lost.txt"]
    assert texts_without_picture(folder / "nowhere") == []
