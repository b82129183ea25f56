"""Which tab a setting stands on."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

TABS = ("model", "concepts", "lora", "training", "sampling")
_ELSEWHERE = {"name": "model", "checkpoints": "training"}


def tab_of(path: str) -> str:
    """The name of the tab with the setting at a declared or concrete path."""
    first = path.split(".")[0].removesuffix("[]")
    return _ELSEWHERE.get(first, first)


def tab_titles() -> dict[str, str]:
    """How each tab is called."""
    translate = QCoreApplication.translate
    return {
        "model": translate("tabs", "Model"),
        "concepts": translate("tabs", "Concepts"),
        "lora": translate("tabs", "LoRA"),
        "training": translate("tabs", "Training"),
        "sampling": translate("tabs", "Sampling"),
    }
