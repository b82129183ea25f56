"""Marking words for translation, without loading anything."""

from __future__ import annotations


def tr(text: str) -> str:
    """Mark a string for translation; returns it unchanged (core has no Qt)."""
    return text
