"""The top line: presets, Basic or All, search, and the menu of the window itself."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QActionGroup
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QToolButton,
    QWidget,
)

from app import i18n, prefs, theme
from app.icons import icon
from app.presets_bar import PresetsBar
from app.settings_search import SettingsSearch
from core.config.fields import Level


class LevelSwitch(QWidget):
    """Basic | All. Signals: chosen(level)."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        for level, text, side in (
            ("basic", self.tr("Basic"), "left"),
            ("all", self.tr("All"), "right"),
        ):
            button = QPushButton(text)
            button.setCheckable(True)
            button.setProperty("role", "segment")
            button.setProperty("side", side)
            button.clicked.connect(lambda _, level=level: self.chosen.emit(level))
            self._group.addButton(button)
            self.buttons[level] = button
            row.addWidget(button)
        self.buttons["basic"].setToolTip(self.tr("Show the settings that most trainings need"))
        self.buttons["all"].setToolTip(self.tr("Show every setting"))

    def show_level(self, level: Level) -> None:
        """Mark a level as chosen."""
        self.buttons[level].setChecked(True)


class Header(QFrame):
    """The window's top line.

    Signals: themeChosen(mode), languageChosen(locale), welcomeRequested(), panelToggled(shown),
    helpRequested("keys", "runs", "report" or "about").
    """

    themeChosen = Signal(str)
    languageChosen = Signal(str)
    welcomeRequested = Signal()
    panelToggled = Signal(bool)
    helpRequested = Signal(str)

    def __init__(self, bar: PresetsBar, search: SettingsSearch) -> None:
        super().__init__()
        theme.set_role(self, "bar")
        self.level = LevelSwitch()
        name = QLabel("Limner")
        theme.set_role(name, "title")
        self.panel = self._button("panel-right-open", self.tr("Show or hide the run"))
        self.panel.setCheckable(True)
        self.panel.clicked.connect(self.panelToggled)
        more = self._button("ellipsis", self.tr("Theme, language and help"))
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu = self._make_menu(more)
        more.setMenu(self.menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.unit(2), theme.unit(), theme.unit(1.5), theme.unit())
        row.setSpacing(theme.unit(1.5))
        row.addWidget(name)
        row.addSpacing(theme.unit())
        row.addWidget(bar, 3)
        row.addStretch(1)
        row.addWidget(self.level)
        row.addWidget(search, 2)
        row.addWidget(self.panel)
        row.addWidget(more)

    def _button(self, name: str, text: str) -> QToolButton:
        button = QToolButton()
        button.setIcon(icon(name, "muted"))
        button.setIconSize(QSize(theme.unit(2.25), theme.unit(2.25)))
        button.setToolTip(text)
        button.setAccessibleName(text)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button

    def show_panel(self, shown: bool) -> None:
        """Show whether the run side is open."""
        self.panel.setChecked(shown)
        self.panel.setIcon(icon("panel-right-close" if shown else "panel-right-open", "muted"))

    def _make_menu(self, parent: QWidget) -> QMenu:
        menu = QMenu(parent)
        themes = menu.addMenu(self.tr("Theme"))
        group = QActionGroup(themes)
        for mode, text in (
            ("system", self.tr("As the system")),
            ("light", self.tr("Light")),
            ("dark", self.tr("Dark")),
        ):
            action = themes.addAction(text)
            action.triggered.connect(partial(self.themeChosen.emit, mode))
            action.setCheckable(True)
            action.setData(mode)
            action.setChecked(mode == theme.notifier().mode)
            group.addAction(action)
        languages = menu.addMenu(self.tr("Language"))
        spoken = QActionGroup(languages)
        chosen = prefs.text("language", "system")
        found = {"system": self.tr("As the system"), "en": "English", **i18n.languages()}
        for locale, text in found.items():
            action = languages.addAction(text)
            action.triggered.connect(partial(self.languageChosen.emit, locale))
            action.setCheckable(True)
            action.setChecked(locale == chosen)
            spoken.addAction(action)
        menu.addSeparator()
        menu.addAction(self.tr("First steps"), self.welcomeRequested.emit)
        for name, text in (
            ("keys", self.tr("Keyboard shortcuts")),
            ("runs", self.tr("Open the runs folder")),
            ("report", self.tr("Make a report...")),
            ("about", self.tr("About Limner")),
        ):
            menu.addAction(text, partial(self.helpRequested.emit, name))
        return menu
