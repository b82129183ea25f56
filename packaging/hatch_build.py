"""Puts presets and resources into the wheel, where core/paths.py looks for them.

An editable installation gets none: it uses those of the checkout, and a copy would grow stale.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DataFolders(BuildHookInterface):
    """Adds the data folders that lie outside the packages to a standard wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; `version` is "standard" or "editable"."""
        if version == "standard":
            for name in ("presets", "resources"):
                build_data["force_include"][name] = f"core/_data/{name}"
