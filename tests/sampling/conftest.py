"""A tiny model for drawing."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.families.registry import family
from tests.families.loading import load


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SD 1.x model in diffusers format; not to be changed."""
    return family("sd15").build_tiny(tmp_path_factory.mktemp("tiny") / "model", 3)


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path):
    """The tiny model, loaded; not to be changed."""
    return load(tiny_folder)
