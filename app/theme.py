"""Colours, sizes and states of the window: palettes of our own for light and dark on Fusion.

One accent colour, one spacing unit, three text sizes. Widgets name their part by the dynamic
property `role` (see `set_role`) and never carry colours themselves, so that a change of theme
reaches everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QObject, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPalette
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from core.paths import resources_dir

# From the page's edge to its texts, in units: the page's margin, the changed-dot, a gap.
MARGIN, DOT, GAP = 1.0, 1.25, 0.75

Mode = Literal["system", "light", "dark"]
MODES: tuple[Mode, ...] = ("system", "light", "dark")


@dataclass(frozen=True)
class Colours:
    """One theme's colours as #rrggbb. picture: the neutral grey behind pictures."""

    window: str
    field: str
    raised: str
    hover: str
    pressed: str
    border: str
    border_strong: str
    text: str
    muted: str
    disabled: str
    accent: str
    accent_hover: str
    accent_text: str
    accent_soft: str
    on_accent: str
    error: str
    warning: str
    good: str
    picture: str


LIGHT = Colours(
    window="#f3f3f2",
    field="#ffffff",
    raised="#fbfbfa",
    hover="#e8e8e6",
    pressed="#dcdcd9",
    border="#d5d5d2",
    border_strong="#b4b4b0",
    text="#1f1f1e",
    muted="#646461",
    disabled="#a3a3a0",
    accent="#3f5bd6",
    accent_hover="#3550c4",
    accent_text="#3a55cc",
    accent_soft="#e4e8fb",
    on_accent="#ffffff",
    error="#b3261e",
    warning="#8a5a00",
    good="#1e7341",
    picture="#3a3a3a",
)
DARK = Colours(
    window="#262626",
    field="#1b1b1b",
    raised="#2e2e2e",
    hover="#383838",
    pressed="#424242",
    border="#3f3f3f",
    border_strong="#5c5c5c",
    text="#e4e4e2",
    muted="#a3a3a0",
    disabled="#6d6d6b",
    accent="#4c68e0",
    accent_hover="#5d78ec",
    accent_text="#9db0ff",
    accent_soft="#323a5c",
    on_accent="#ffffff",
    error="#ff9088",
    warning="#f0b950",
    good="#7cd39c",
    picture="#202020",
)


class _Theme(QObject):
    """The theme in use. Signals: changed() after colours or sizes changed."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.mode: Mode = "system"
        self.dark = False


_theme: _Theme | None = None


def notifier() -> _Theme:
    """The object whose `changed` signal tells that colours or sizes changed."""
    global _theme
    if _theme is None:
        _theme = _Theme()
    return _theme


def colours() -> Colours:
    """The colours in use now."""
    return DARK if notifier().dark else LIGHT


def unit(times: float = 1.0) -> int:
    """The spacing unit (8 px with the usual font at 100 %) times `times`, in pixels."""
    return max(1, round(QFontMetricsF(QApplication.font()).height() * 0.55 * times))


def indent() -> int:
    """From a form's left edge to its labels: the changed-dot's place and the gap behind it."""
    return unit(DOT) + unit(GAP)


def em(times: float = 1.0) -> int:
    """The width of `times` average digits of the body font, in pixels, for widths of fields."""
    return round(QFontMetricsF(QApplication.font()).horizontalAdvance("0") * times)


def give_air(parent: QWidget) -> None:
    """Keep icons and texts of all buttons below `parent` a little apart."""
    side = unit(2)
    for button in parent.findChildren(QPushButton):
        if not button.icon().isNull() and button.text():
            button.setIconSize(QSize(side + unit(0.5), side))


def font(size: Literal["small", "body", "title"] = "body") -> QFont:
    """One of the three text sizes, for painting by hand."""
    result = QFont(QApplication.font())
    result.setPointSizeF(_points(size))
    if size == "title":
        result.setWeight(QFont.Weight.DemiBold)
    return result


def _points(size: str) -> float:
    base = QApplication.font().pointSizeF()
    if base <= 0:  # a font set in pixels
        base = 9.0
    return base * {"small": 0.9, "body": 1.0, "title": 1.22}[size]


def set_role(widget: QWidget, role: str) -> None:
    """Give a widget its part (`muted`, `small`, `title`, `error`, `primary`, ...) in the sheet."""
    if widget.property("role") == role:
        return
    widget.setProperty("role", role)
    repolish(widget)


def repolish(widget: QWidget) -> None:
    """Apply the style sheet again after a dynamic property of `widget` changed."""
    style = widget.style()
    style.unpolish(widget)
    style.polish(widget)
    widget.update()


def setup(app: QApplication, mode: Mode = "system") -> None:
    """Style the application and follow the system's colour scheme while the mode is `system`."""
    app.setStyle("Fusion")
    app.styleHints().colorSchemeChanged.connect(_system_changed)
    apply(mode)


def apply(mode: Mode) -> None:
    """Switch to a theme now; also call it after the application's font changed."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    theme = notifier()
    theme.mode = mode
    theme.dark = mode == "dark" or (mode == "system" and _system_is_dark(app))
    # Replacing one sheet by another styles every widget several times over; from none it is quick.
    app.setStyleSheet("")
    app.setPalette(_palette(colours()))
    app.setStyleSheet(_sheet(colours()))
    theme.changed.emit()


def darken(widget: QWidget) -> None:
    """Give a widget and all in it the dark colours whatever the theme: it lies over pictures.

    Call it again when it is shown, for the theme may have changed. Windows that it opens need
    their own call.
    """
    if notifier().dark and not widget.styleSheet():
        return  # the application's colours are the same
    sheet = f"QLabel {{ color: {DARK.text}; }}\n{_sheet(DARK)}"
    widget.setStyleSheet("" if notifier().dark else sheet)
    palette = QPalette() if notifier().dark else _palette(DARK)
    # With a sheet of the application's, children don't take a palette over.
    for one in (widget, *widget.findChildren(QWidget)):
        one.setPalette(palette)


def _system_is_dark(app: QApplication) -> bool:
    return app.styleHints().colorScheme() == Qt.ColorScheme.Dark


def _system_changed() -> None:
    if notifier().mode == "system":
        apply("system")


def _palette(c: Colours) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    for target, value in (
        (role.Window, c.window),
        (role.WindowText, c.text),
        (role.Base, c.field),
        (role.AlternateBase, c.raised),
        (role.Text, c.text),
        (role.Button, c.raised),
        (role.ButtonText, c.text),
        (role.BrightText, c.error),
        (role.ToolTipBase, c.raised),
        (role.ToolTipText, c.text),
        (role.PlaceholderText, c.muted),
        (role.Highlight, c.accent),
        (role.HighlightedText, c.on_accent),
        (role.Accent, c.accent),
        (role.Link, c.accent_text),
        (role.LinkVisited, c.accent_text),
        (role.Light, c.raised),
        (role.Midlight, c.hover),
        (role.Mid, c.border),
        (role.Dark, c.border_strong),
        (role.Shadow, c.border_strong),
    ):
        palette.setColor(target, QColor(value))
    for target in (role.WindowText, role.Text, role.ButtonText, role.PlaceholderText):
        palette.setColor(QPalette.ColorGroup.Disabled, target, QColor(c.disabled))
    palette.setColor(QPalette.ColorGroup.Disabled, role.Highlight, QColor(c.border_strong))
    return palette


@dataclass(frozen=True)
class _Sizes:
    """Lengths of the style sheet in pixels, text sizes in points."""

    u: int
    half: int
    third: int
    inner: int
    radius: int
    box: int
    small: float
    title: float
    states: str


def _sheet(c: Colours) -> str:
    """The style sheet: flat surfaces and their hover, focus, disabled and error states."""
    u = unit()
    sizes = _Sizes(
        u=u,
        half=max(2, u // 2),
        third=max(2, u // 3),
        inner=max(2, round(u * 0.48)),
        radius=max(3, round(u * 0.55)),
        box=round(u * 1.9),
        small=_points("small"),
        title=_points("title"),
        states=(resources_dir() / "icons" / "states").as_posix(),
    )
    parts = (
        _labels_and_cards,
        _lines,
        _combos,
        _buttons,
        _checks,
        _tabs,
        _scrolling,
        _lists,
    )
    return "\n".join(part(c, sizes) for part in parts)


def _labels_and_cards(c: Colours, z: _Sizes) -> str:
    """Labels and frames by their role."""
    return f"""
QToolTip {{ color: {c.text}; background: {c.raised}; border: 1px solid {c.border_strong};
    padding: {z.half}px; }}
QLabel[role="muted"] {{ color: {c.muted}; }}
QLabel[role="small"] {{ color: {c.muted}; font-size: {z.small:.1f}pt; }}
QLabel[role="title"] {{ font-size: {z.title:.1f}pt; font-weight: 600; }}
QLabel:disabled {{ color: {c.disabled}; }}
QLabel[role="group"] {{ font-weight: 600; }}
QLabel[role="error"] {{ color: {c.error}; font-size: {z.small:.1f}pt; }}
QLabel[role="warning"] {{ color: {c.warning}; font-size: {z.small:.1f}pt; }}
QLabel[role="good"] {{ color: {c.good}; font-size: {z.small:.1f}pt; }}
QFrame[role="line"] {{ background: {c.border}; border: none; }}
QFrame[role="card"] {{ background: {c.raised}; border: 1px solid {c.border};
    border-radius: {z.radius + 2}px; }}
QFrame[role="card"][selected="true"] {{ border: 1px solid {c.accent}; }}
QFrame[role="card"]:hover {{ border-color: {c.border_strong}; }}
QFrame[role="card"][selected="true"]:hover {{ border-color: {c.accent}; }}
QFrame[role="card"][focused="true"] {{ border: 1px solid {c.accent}; }}
QFrame[role="mark"] {{ background: {c.accent}; border: none; }}
QFrame[role="proposal"] {{ background: {c.accent_soft}; border: none;
    border-radius: {z.radius}px; }}
QFrame[role="drop"] {{ background: transparent; border: 2px dashed {c.border_strong};
    border-radius: {z.radius * 2}px; }}
QFrame[role="drop"][over="true"] {{ border-color: {c.accent}; background: {c.accent_soft}; }}
QLabel[role="drop_hint"] {{ background: {c.accent_soft}; color: {c.text};
    border: 2px dashed {c.accent}; border-radius: {z.radius * 2}px;
    padding: {z.u * 2}px {z.u * 3}px; }}
QFrame[flash="true"] {{ background: {c.accent_soft}; border-radius: {z.radius}px; }}
QFrame[role="bar"] {{ background: {c.raised}; border: none; }}
"""


def _lines(c: Colours, z: _Sizes) -> str:
    """Lines of text and longer texts."""
    return f"""
QLineEdit, QPlainTextEdit {{ background: {c.field}; border: 1px solid {c.border};
    border-radius: {z.radius}px; padding: {z.inner}px {z.half + 1}px;
    selection-background-color: {c.accent}; selection-color: {c.on_accent}; }}
QPlainTextEdit {{ padding: {z.inner + 1}px {z.half + 3}px {z.inner - 1}px {z.half + 3}px; }}
QLineEdit:hover, QPlainTextEdit:hover {{ border-color: {c.border_strong}; }}
QLineEdit:focus, QPlainTextEdit:focus {{ border-color: {c.accent}; }}
QLineEdit:disabled, QPlainTextEdit:disabled {{ color: {c.disabled}; background: {c.window}; }}
*[state="error"] {{ border: 1px solid {c.error}; }}
*[state="warning"] {{ border: 1px solid {c.warning}; }}
"""


def _combos(c: Colours, z: _Sizes) -> str:
    """Combo boxes and their lists."""
    return f"""
QComboBox {{ combobox-popup: 0; background: {c.field}; border: 1px solid {c.border};
    border-radius: {z.radius}px; padding: {z.inner}px {z.half + 1}px; padding-right: {z.u * 3}px; }}
QComboBox:hover {{ border-color: {c.border_strong}; }}
QComboBox:focus, QComboBox:on {{ border-color: {c.accent}; }}
QComboBox:disabled {{ color: {c.disabled}; background: {c.window}; }}
QComboBox::drop-down {{ border: none; width: {z.u * 2 + z.half}px;
    subcontrol-position: right center; }}
QComboBox::down-arrow {{ image: url({z.states}/chevron.svg); width: {z.u + z.half}px;
    height: {z.u + z.half}px; }}
QComboBox QAbstractItemView {{ background: {c.field}; border: 1px solid {c.border_strong};
    padding: {z.third}px; outline: none; }}
QComboBox QAbstractItemView::item {{ min-height: {z.u * 3}px; padding: 0 {z.half}px; }}
QComboBox QAbstractItemView::item:selected, QComboBox QAbstractItemView::item:hover {{
    background: {c.accent}; color: {c.on_accent}; }}
"""


def _buttons(c: Colours, z: _Sizes) -> str:
    """Push buttons and tool buttons."""
    return f"""
QDialogButtonBox {{ dialogbuttonbox-buttons-have-icons: 0; }}
QPushButton {{ background: {c.raised}; border: 1px solid {c.border_strong};
    border-radius: {z.radius}px; padding: {z.half}px {z.u + z.half}px; }}
QPushButton:hover {{ background: {c.hover}; }}
QPushButton:pressed {{ background: {c.pressed}; }}
QPushButton:focus {{ border-color: {c.accent}; }}
QPushButton:disabled {{ color: {c.disabled}; border-color: {c.border}; background: {c.window}; }}
QPushButton[role="primary"] {{ background: {c.accent}; color: {c.on_accent};
    border-color: {c.accent}; font-weight: 600; padding: {z.half}px {z.u * 2 + z.half}px; }}
QPushButton[role="primary"]:hover {{ background: {c.accent_hover}; }}
QPushButton[role="primary"]:pressed {{ background: {c.accent}; }}
QPushButton[role="primary"]:focus {{ border-color: {c.text}; }}
QPushButton[role="primary"]:disabled {{ background: {c.hover}; color: {c.disabled};
    border-color: {c.border}; }}
QPushButton[role="link"] {{ background: transparent; border: 1px solid transparent;
    color: {c.accent_text}; padding: {z.third - 1}px {z.half}px; text-align: left; }}
QPushButton[role="link"]:hover {{ background: {c.hover}; }}
QPushButton[role="link"]:focus {{ border-color: {c.accent}; }}
QPushButton[role="link"]:disabled {{ color: {c.disabled}; }}
QPushButton[role="segment"] {{ border-radius: 0; padding: {z.half}px {z.u + z.half}px; }}
QPushButton[role="segment"][side="left"] {{ border-top-left-radius: {z.radius}px;
    border-bottom-left-radius: {z.radius}px; border-right: none; }}
QPushButton[role="segment"][side="right"] {{ border-top-right-radius: {z.radius}px;
    border-bottom-right-radius: {z.radius}px; }}
QPushButton[role="segment"]:checked {{ background: {c.accent_soft}; color: {c.accent_text};
    font-weight: 600; }}
QPushButton[role="segment"][side="middle"] {{ border-right: none; }}
QPushButton[role="chip"] {{ background: transparent; border: 1px solid {c.border};
    border-radius: {z.u}px; padding: {z.third}px {z.u + z.third}px; }}
QPushButton[role="chip"]:hover {{ background: {c.hover}; }}
QPushButton[role="chip"]:focus {{ border-color: {c.accent}; }}
QPushButton[role="chip"]:checked {{ background: {c.accent_soft}; color: {c.accent_text};
    border-color: {c.accent_soft}; font-weight: 600; }}
QPushButton[role="chip"]:checked:focus {{ border-color: {c.accent}; }}
QToolButton {{ background: transparent; border: 1px solid transparent;
    border-radius: {z.radius}px; padding: {z.third}px; }}
QToolButton:hover {{ background: {c.hover}; }}
QToolButton:pressed, QToolButton:checked {{ background: {c.pressed}; }}
QToolButton:focus {{ border-color: {c.accent}; }}
QToolButton::menu-indicator {{ image: none; width: 0; }}
"""


def _checks(c: Colours, z: _Sizes) -> str:
    """Check boxes, in tables too."""
    return f"""
QCheckBox {{ spacing: {z.u}px; }}
QCheckBox::indicator, QTableView::indicator {{ width: {z.box}px; height: {z.box}px;
    border: 1px solid {c.border_strong};
    border-radius: {max(3, z.radius - 1)}px; background: {c.field}; }}
QCheckBox::indicator:hover {{ border-color: {c.accent}; }}
QCheckBox::indicator:checked, QTableView::indicator:checked {{
    background: {c.accent}; border-color: {c.accent};
    image: url({z.states}/check.svg); }}
QCheckBox::indicator:disabled {{ background: {c.window}; border-color: {c.border}; }}
QCheckBox::indicator:checked:disabled {{ background: {c.disabled}; }}
QCheckBox::indicator:focus {{ border: 2px solid {c.accent_text}; }}
"""


def _tabs(c: Colours, z: _Sizes) -> str:
    """Tabs."""
    return f"""
QTabWidget::pane {{ border: none; border-top: 1px solid {c.border}; }}
QTabBar {{ qproperty-drawBase: 0; }}
QTabBar::tab {{ background: transparent; color: {c.muted}; border: none;
    border-bottom: 2px solid transparent; padding: {z.u}px {z.u * 2}px {z.u - 2}px {z.u * 2}px; }}
QTabBar::tab:hover {{ color: {c.text}; }}
QTabBar::tab:selected {{ color: {c.text}; border-bottom-color: {c.accent}; }}
QTabBar::tab:focus {{ color: {c.accent_text}; }}
"""


def _scrolling(c: Colours, z: _Sizes) -> str:
    """Scroll areas, scroll bars and splitters."""
    return f"""
QScrollArea {{ border: none; background: transparent; }}
QScrollArea > QWidget > QWidget[role="page"] {{ background: {c.window}; }}
QScrollBar:vertical {{ background: transparent; width: {z.u + 4}px; margin: 0; }}
QScrollBar:horizontal {{ background: transparent; height: {z.u + 4}px; margin: 0; }}
QScrollBar::handle {{ background: {c.border_strong}; border-radius: {max(2, z.u // 2 - 1)}px;
    margin: 3px; }}
QScrollBar::handle:vertical {{ min-height: {z.u * 4}px; }}
QScrollBar::handle:horizontal {{ min-width: {z.u * 4}px; }}
QScrollBar::handle:hover {{ background: {c.muted}; }}
QScrollBar::handle:disabled {{ background: transparent; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
QSplitter::handle {{ background: {c.border}; }}
QSplitter::handle:hover {{ background: {c.accent}; }}
"""


def _lists(c: Colours, z: _Sizes) -> str:
    """Menus, lists, progress bars and sliders."""
    return f"""
QMenu {{ background: {c.raised}; border: 1px solid {c.border_strong}; padding: {z.half}px; }}
QMenu::item {{ padding: {z.half}px {z.u * 3}px {z.half}px {z.u}px; border-radius: {z.third}px; }}
QMenu::icon {{ padding-left: {z.u}px; }}
QMenu::item:selected {{ background: {c.accent}; color: {c.on_accent}; }}
QMenu::item:disabled {{ color: {c.disabled}; background: transparent; }}
QMenu::separator {{ height: 1px; background: {c.border}; margin: {z.half}px {z.u}px; }}
QListView, QTreeView, QTableView {{ background: {c.field}; border: 1px solid {c.border};
    border-radius: {z.radius}px; outline: none; }}
QListView::item {{ padding: {z.half}px; border-radius: {z.third}px; }}
QListView::item:hover {{ background: {c.hover}; }}
QListView::item:selected {{ background: {c.accent_soft}; color: {c.text}; }}
QHeaderView {{ background: {c.field}; }}
QHeaderView::section {{ background: {c.field}; color: {c.muted}; border: none;
    border-bottom: 1px solid {c.border}; padding: {z.half}px {z.half + 2}px; }}
QProgressBar {{ background: {c.field}; border: 1px solid {c.border}; border-radius: {z.third}px;
    text-align: center; }}
QProgressBar::chunk {{ background: {c.accent}; border-radius: {z.third}px; }}
QSlider::groove:horizontal {{ background: {c.border}; height: {max(2, z.third)}px;
    border-radius: {max(1, z.third // 2)}px; }}
QSlider::handle:horizontal {{ background: {c.accent}; width: {z.u * 2}px; height: {z.u * 2}px;
    margin: -{z.u - z.third // 2}px 0; border-radius: {z.u}px; }}
QSlider::handle:horizontal:hover {{ background: {c.accent_hover}; }}
QSlider::handle:horizontal:focus {{ border: 2px solid {c.text}; }}
QSlider::handle:horizontal:disabled {{ background: {c.border_strong}; }}
"""
