"""The fields of the automatic captions' options, made from their one declaration."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from app import prefs
from app.i18n import schema
from app.widgets.fields import CheckField, ChoiceField, NumberField, TextField
from app.widgets.paths import PathField
from core.captioning.options import ABOUT, CaptionOptions, kinds

Field = CheckField | ChoiceField | NumberField | TextField | PathField
_FOLDERS = ("tagger", "captioner")
# What is chosen for one concept; in another it would write the wrong word, or over its captions.
_OF_CONCEPT = ("trigger", "mode")
_PLACE = "captions/place"


class OptionFields(QObject):
    """One editor for each option, filled with what was chosen last. Signals: edited(str).

    place: the concept's folder; trigger word and mode are offered again there alone."""

    edited = Signal(str)

    def __init__(self, parent: QObject, place: str) -> None:
        super().__init__(parent)
        self._place = place
        elsewhere = prefs.text(_PLACE, "") != place
        self.fields: dict[str, Field] = {}
        defaults = CaptionOptions()
        for name, kind in kinds().items():
            field = _make(name, kind)
            usual = getattr(defaults, name)
            skipped = elsewhere and name in _OF_CONCEPT
            field.set_value(_shown(usual if skipped else _remembered(name, kind, usual)))
            field.setToolTip(schema(ABOUT[name].help))
            named = field.line if isinstance(field, PathField) else field
            named.setAccessibleName(schema(ABOUT[name].title))
            field.edited.connect(lambda _, name=name: self.edited.emit(name))
            self.fields[name] = field

    def __getitem__(self, name: str) -> Field:
        return self.fields[name]

    def values(self) -> dict[str, Any]:
        """What the fields hold, for `make_options`."""
        return {name: field.value() for name, field in self.fields.items()}

    def remember(self) -> None:
        """Offer the same again the next time."""
        for name, field in self.fields.items():
            prefs.put(f"captions/{name}", field.value())
        prefs.put(_PLACE, self._place)

    def show_problem(self, setting: str, on: bool) -> None:
        """Mark the field that a problem is about."""
        from app import theme

        field = self.fields.get(setting)
        target: QWidget | None = getattr(field, "line", field)
        if target is not None:
            target.setProperty("state", "error" if on else "")
            theme.repolish(target)


def title(name: str) -> str:
    """An option's name for people."""
    return schema(ABOUT[name].title)


def _make(name: str, kind: Any) -> Field:
    about = ABOUT[name]
    if name in _FOLDERS:
        return PathField("folder", schema(about.title))
    if kind is bool:
        return CheckField(schema(about.title))
    if kind in (int, float):
        return NumberField(whole=kind is int, optional=False)
    if get_origin(kind) is Literal:
        labels = [(value, schema(about.labels.get(value, value))) for value in get_args(kind)]
        return ChoiceField(labels)
    return TextField()


def _shown(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, tuple) else value


def _remembered(name: str, kind: Any, default: Any) -> Any:
    """What was chosen last; the file of preferences holds texts."""
    text = prefs.text(f"captions/{name}", "")
    if not text:
        return default
    try:
        if kind is bool:
            return text.lower() == "true"
        if kind in (int, float):
            return kind(text)
    except ValueError:
        return default
    if get_origin(kind) is Literal and text not in get_args(kind):
        return default
    return text
