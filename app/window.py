"""The main window: settings on the left, the run on the right, what Train would do below."""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import sys
from pathlib import Path

from PySide6.QtCore import QByteArray, QSize, Qt, QTimer, QUrl
from PySide6.QtGui import (
    QCloseEvent,
    QDesktopServices,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QGuiApplication,
    QKeySequence,
    QShortcut,
)
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QMainWindow,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app import about, dialogs, i18n, prefs, theme
from app.background import Background
from app.collector import Collector
from app.concept_scan import ConceptScanner
from app.detection import BaseModelWatch
from app.focus import SteadyFocus
from app.footer import Footer
from app.hardware import Hardware
from app.header import Header
from app.icons import icon
from app.plan_watch import PlanWatch
from app.preflight.panel import PreflightPanel
from app.preflight.watch import PreflightWatch
from app.presets_bar import PresetsBar
from app.run_panel.panel import RunPanel
from app.run_panel.queue import QueueButton, QueueWatch
from app.session import SessionKeeper
from app.settings_search import SettingsSearch
from app.sign_out import SignOut
from app.state import SettingsState
from app.tabs.concepts import ConceptsTab
from app.tabs.lora import LoraTab
from app.tabs.model import ModelTab
from app.tabs.places import TABS, tab_of, tab_titles
from app.tabs.sampling import SamplingTab
from app.tabs.settings_page import SettingsPage
from app.tabs.training import TrainingTab
from app.welcome import Welcome
from app.widgets.drop_hint import DropHint
from core.config.fields import Level
from core.data.scan import is_picture_name
from core.errors import Problem

DEMO = "# demo"
_log = logging.getLogger(__name__)


class Window(SteadyFocus, QMainWindow):
    """Limner's window."""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("Limner")
        self.setAcceptDrops(True)
        self.state = SettingsState(self)
        self.background = Background(self)
        self.keeper = SessionKeeper(self.state, self.background, self)
        self._lost = self.keeper.restore()
        self.scanner = ConceptScanner(self.background, self)
        self.model_watch = BaseModelWatch(self.state, self.background, self)
        self.plan_watch = PlanWatch(
            self.state, self.model_watch, self.scanner, self.background, self
        )
        self.presets = PresetsBar(self.state)
        self.search = SettingsSearch(self.state)
        self.header = Header(self.presets, self.search)
        self.tabs = QTabWidget()
        self.pages: dict[str, SettingsPage] = {
            "model": ModelTab(self.state, self.model_watch),
            "concepts": ConceptsTab(self.state, self.scanner, self.model_watch),
            "lora": LoraTab(self.state),
            "training": TrainingTab(self.state),
            "sampling": SamplingTab(self.state),
        }
        self._hardware: Hardware | None = None
        self.welcome = Welcome(self.state, self.model_watch)
        self.run = RunPanel(self)
        self.queue = QueueWatch(self.background, self)
        self.footer = Footer(self.plan_watch, self.run.controls, QueueButton(self.queue))
        self.preflight_watch = PreflightWatch(self.state, self.plan_watch, self)
        self.check = PreflightPanel(self.preflight_watch)
        self.drop_hint = DropHint(self)
        self.sign_out = SignOut(self.run, self.keeper.save_now, self)
        self._build()
        self._connect()
        self._shortcuts()
        self._recall()

    # --- building ------------------------------------------------------------

    def _build(self) -> None:
        titles = tab_titles()
        self.tabs.setDocumentMode(True)
        for name in TABS:
            self.tabs.addTab(self.pages[name], titles[name])
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        frame = QWidget()
        around = QVBoxLayout(frame)
        around.setContentsMargins(theme.unit(2), theme.unit(2), theme.unit(2), theme.unit(0.5))
        around.addWidget(self.welcome)
        self._welcome_frame = frame
        column.addWidget(frame)
        column.addWidget(self.tabs, 1)
        left.setMinimumWidth(theme.em(62))
        self.left = left
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setHandleWidth(max(1, theme.unit(0.5)))
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(left)
        # A very large font on a small screen squeezes the run rather than outgrow the screen.
        self.run.setMinimumHeight(theme.unit(44))
        self.splitter.addWidget(self.run)
        self.splitter.setStretchFactor(0, 3)
        self.splitter.setStretchFactor(1, 2)
        self.splitter.setSizes([theme.em(100), theme.em(72)])
        middle = QWidget()
        whole = QVBoxLayout(middle)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(self.header)
        whole.addWidget(_line())
        upper = QSplitter(Qt.Orientation.Vertical)
        upper.setHandleWidth(max(1, theme.unit(0.5)))
        upper.setChildrenCollapsible(False)
        upper.addWidget(self.splitter)
        upper.addWidget(self.check)
        upper.setStretchFactor(0, 1)
        whole.addWidget(upper, 1)
        whole.addWidget(_line())
        whole.addWidget(self.footer)
        self.setCentralWidget(middle)
        theme.give_air(self)
        self.setFocus()

    def _connect(self) -> None:
        for page in self.pages.values():
            page.allRequested.connect(lambda: self.set_level("all"))
        concepts = self.pages["concepts"]
        assert isinstance(concepts, ConceptsTab)
        concepts.demoRequested.connect(self.load_demo)
        concepts.badPicture.connect(self.plan_watch.add_bad)
        self.header.level.chosen.connect(self.set_level)
        self.header.themeChosen.connect(self.set_theme)
        self.header.languageChosen.connect(self.set_language)
        self.header.panelToggled.connect(self.show_run)
        self.header.welcomeRequested.connect(lambda: self._show_welcome(True))
        self.header.helpRequested.connect(self._help)
        self.search.chosen.connect(self.reveal)
        self.footer.checkRequested.connect(self.toggle_check)
        self.check.settingRequested.connect(self.reveal)
        self.check.pictureRequested.connect(self.reveal_picture)
        self.footer.readyChanged.connect(self.run.set_ready)
        self.run.trainRequested.connect(self.train)
        self.queue.runBegan.connect(self._follow_queue)
        self.queue.failed.connect(lambda error: self._tell(list(error.problems)))
        self.run.runningChanged.connect(lambda on: self.queue.look())
        self.run.collapsedChanged.connect(lambda collapsed: self.show_run(not collapsed))
        self.run.pictureZoomed.connect(lambda zoomed: self.left.setVisible(not zoomed))
        self.run.titleProgress.connect(self._show_title)
        self.run.attentionNeeded.connect(lambda _: QApplication.alert(self))
        self.run.settingRequested.connect(self.reveal)
        # How long training takes is known better after a run.
        self.run.runningChanged.connect(lambda on: None if on else self.plan_watch.ask())
        self.welcome.demoRequested.connect(self.load_demo)
        self.welcome.dismissed.connect(lambda: self._show_welcome(False))
        self.welcome.stepChosen.connect(self._step)
        self.keeper.failed.connect(lambda problem: self._tell([problem]))
        self.plan_watch.changed.emit()

    def _shortcuts(self) -> None:
        for keys, act in (
            ("Ctrl+S", self.presets.save),
            ("Ctrl+Shift+S", self.presets.save_as),
            ("Ctrl+Z", self.state.undo),
            ("Ctrl+Y", self.state.redo),
            ("Ctrl+Shift+Z", self.state.redo),
            ("Ctrl+F", self._focus_search),
            ("Ctrl+Return", self.train),
            ("F5", self.look_again),
        ):
            QShortcut(QKeySequence(keys), self, act)
        for number in range(len(TABS)):
            QShortcut(
                QKeySequence(f"Alt+{number + 1}"),
                self,
                lambda number=number: self.tabs.setCurrentIndex(number),
            )

    def _recall(self) -> None:
        """Theme, level and sizes as they were left."""
        level = prefs.text("level", "basic")
        self.set_level("all" if level == "all" else "basic")
        self.setMinimumSize(QSize(theme.em(112), theme.em(56)))
        screen = QGuiApplication.primaryScreen().availableGeometry()
        wanted = QSize(min(theme.em(176), screen.width()), min(theme.em(108), screen.height()))
        self.resize(wanted)
        geometry = prefs.store().value("geometry")
        if isinstance(geometry, QByteArray):
            self.restoreGeometry(geometry)
        splitter = prefs.store().value("splitter")
        if isinstance(splitter, QByteArray):
            self.splitter.restoreState(splitter)
        self.tabs.setCurrentIndex(TABS.index("concepts") if not self._has_pictures() else 0)
        tab = prefs.text("tab", "")
        if tab in TABS:
            self.tabs.setCurrentIndex(TABS.index(tab))
        self.show_run(False)
        self._show_welcome(prefs.text("welcome", "yes") == "yes", keep=False)
        if self._lost:
            QTimer.singleShot(0, self, lambda: self._tell(self._lost))

    def _show_title(self, progress: str) -> None:
        self.setWindowTitle(f"{progress} · Limner" if progress else "Limner")

    def _has_pictures(self) -> bool:
        return bool(self.state.get("concepts"))

    # --- acting ------------------------------------------------------------

    def set_level(self, level: str) -> None:
        """Show the basic settings or all of them."""
        chosen: Level = "all" if level == "all" else "basic"
        self.header.level.show_level(chosen)
        prefs.put("level", chosen)
        for page in self.pages.values():
            page.set_level(chosen)

    def set_theme(self, mode: str) -> None:
        """Use a theme and remember it."""
        for known in theme.MODES:
            if known == mode:
                prefs.put("theme", mode)
                theme.apply(known)

    def set_language(self, language: str) -> None:
        """Remember a language for the next start."""
        if language != prefs.text("language", "system"):
            prefs.put("language", language)
            problem = Problem(
                code="language_later",
                severity="warning",
                title=self.tr("The language changes when Limner is opened again."),
            )
            self._tell([problem])

    def show_run(self, shown: bool) -> None:
        """Show or hide the run side."""
        self.run.setVisible(shown)
        self.header.show_panel(shown)

    def reveal(self, path: str) -> None:
        """Lead to the setting at a concrete path: its tab, scrolled and marked."""
        name = tab_of(path) if path else ""
        if name not in self.pages:
            return
        if not self.left.isVisible():
            self.left.setVisible(True)
        self.tabs.setCurrentIndex(TABS.index(name))
        self.pages[name].reveal(path)

    def reveal_picture(self, concept: int, path: str, alike: str = "all") -> None:
        """Lead to a picture in its concept, shown with those that pass the filter `alike`."""
        if not self.left.isVisible():
            self.left.setVisible(True)
        self.tabs.setCurrentIndex(TABS.index("concepts"))
        page = self.pages["concepts"]
        assert isinstance(page, ConceptsTab)
        page.reveal_picture(concept, Path(path), alike)

    def _help(self, name: str) -> None:
        """Show what was chosen in the menu."""
        match name:
            case "keys":
                about.show_shortcuts(self)
            case "report":
                about.show_report(self, self.run.runs_dir)
            case "about":
                about.show_about(self)
            case "runs":
                self.run.runs_dir.mkdir(parents=True, exist_ok=True)
                QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.run.runs_dir)))

    def toggle_check(self) -> None:
        """Open what Train would do in detail, or put it away."""
        if self.check.isHidden():
            self.check.open()
        else:
            self.check.put_away()

    def load_demo(self) -> None:
        """Choose the demo preset."""
        self.presets.refresh()
        self.presets.choose(DEMO)

    def train(self) -> None:
        """Start a run with the settings now, or lead to what is missing."""
        errors = [p for p in self.plan_watch.problems() if p.severity == "error"]
        job = self.state.job()
        if job is None or errors:
            self.check.open()
            if len(errors) == 1:
                self.reveal(errors[0].setting)
            return
        self.keeper.save_now()
        self._show_welcome(False)
        if not self.check.isHidden():
            self.check.put_away()
        self.show_run(True)
        if self.run.is_running():
            self.queue.add(job, self.run.runs_dir)
        else:
            self.run.start(job)

    def _follow_queue(self, run: Path) -> None:
        """Show a run of the queue that has begun, unless another one is on view and trains."""
        if not self.run.is_running():
            self.run.attach(run)

    def look_again(self) -> None:
        """Look at pictures and base model once more."""
        self.model_watch.look_again()
        self.scanner.look_again()
        self.presets.refresh()

    def _focus_search(self) -> None:
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()
        for list_path, name in (("concepts", "concepts"), ("sampling.prompts", "sampling")):
            cards = getattr(self.pages[name], "list", None)
            self.search.open_items[list_path] = cards.open_index() if cards else 0

    def _step(self, name: str) -> None:
        concepts = self.pages["concepts"]
        assert isinstance(concepts, ConceptsTab)
        if name == "pictures":
            self.tabs.setCurrentIndex(TABS.index("concepts"))
            if not self._has_pictures():
                concepts.choose_folder()
        elif name == "model":
            self.reveal("model.base")
        else:
            self.train()

    def _show_welcome(self, shown: bool, keep: bool = True) -> None:
        self._welcome_frame.setVisible(shown)
        concepts = self.pages["concepts"]
        assert isinstance(concepts, ConceptsTab)
        concepts.demo.setVisible(not shown)  # one offer of the demo at a time
        if keep:
            prefs.put("welcome", "yes" if shown else "no")
        if shown and self._hardware is None:
            self._hardware = Hardware(self)
            self._hardware.found.connect(self.welcome.hardware.set_text)
            QTimer.singleShot(0, self, self._hardware.ask)

    def _tell(self, problems: list[Problem]) -> None:
        dialogs.tell(self, "Limner", problems)

    # --- dropping ------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()
            self._mark_drop(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._mark_drop(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._mark_drop(False)
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.take_dropped(paths)

    def _mark_drop(self, over: bool) -> None:
        concepts = self.pages["concepts"]
        assert isinstance(concepts, ConceptsTab)
        concepts.set_drop_target(over)
        self.drop_hint.show_over(over and not concepts.empty.isVisible())

    def take_dropped(self, paths: list[Path]) -> None:
        """Folders and pictures become concepts, a model the base model, a .json a preset."""
        folders: list[Path] = []
        for path in paths:
            if path.suffix.lower() == ".json" and path.is_file():
                self.presets.import_file(path)
            elif path.suffix.lower() == ".safetensors" or (path / "model_index.json").is_file():
                self.state.set("model.base", str(path))
                self.reveal("model.base")
            elif path.is_dir():
                folders.append(path)
            elif is_picture_name(path.name):
                folders.append(path.parent)
        if folders:
            self.tabs.setCurrentIndex(TABS.index("concepts"))
            concepts = self.pages["concepts"]
            assert isinstance(concepts, ConceptsTab)
            concepts.add_folders(folders)

    # --- closing ------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:
        if self.run.is_running() and not self.sign_out.has_stopped_run():
            answer = dialogs.ask(
                self,
                self.tr("Training is running"),
                self.tr("What shall become of the training when the window closes?"),
                [
                    ("detach", self.tr("Keep running in the background")),
                    ("stop", self.tr("Stop and save")),
                    ("cancel", self.tr("Cancel")),
                ],
                self.tr("A training that keeps running is shown again at the next start."),
            )
            if answer not in ("stop", "detach"):
                event.ignore()
                return
            self.run.shutdown("stop" if answer == "stop" else "detach")
        self.keeper.save_now()
        prefs.put("geometry", self.saveGeometry())
        prefs.put("splitter", self.splitter.saveState())
        prefs.put("tab", TABS[self.tabs.currentIndex()])
        if self._hardware is not None:
            self._hardware.stop()
        concepts = self.pages["concepts"]
        assert isinstance(concepts, ConceptsTab)
        concepts.close_down()
        self.preflight_watch.close()
        self.background.close()
        event.accept()


def _line() -> QFrame:
    line = QFrame()
    line.setProperty("role", "line")
    line.setFixedHeight(1)
    return line


def prepare(app: QApplication) -> i18n.Translators:
    """Give the application its name, number format, language and theme."""
    # QApplication sets the locale from the environment; libraries then read 0,5 for 0.5.
    locale.setlocale(locale.LC_NUMERIC, "C")
    app.setApplicationName("Limner")
    app.setApplicationDisplayName("Limner")
    translators = i18n.Translators(app)
    translators.install(prefs.text("language", "system"))
    wanted = prefs.text("theme", "system")
    mode = next((m for m in theme.MODES if m == wanted), theme.MODES[0])
    theme.setup(app, mode)
    app.setWindowIcon(icon("sparkles", "accent"))
    return translators


def _tell_ready() -> None:
    """Make the file that whoever started the window waits for before it closes its console."""
    place = os.environ.pop("LIMNER_READY_FILE", "")
    if place:
        with contextlib.suppress(OSError):
            Path(place).touch()


def _name_to_windows() -> None:
    """Give the window its own place in the task bar, not that of Python."""
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.shell32.SetCurrentProcessExplicitAppUserModelID("Limner")


def run_window(argv: list[str]) -> int:
    """Open the window and stay until it is closed; returns the process's exit code."""
    _name_to_windows()
    app = QApplication(argv)
    translators = prepare(app)
    window = Window()
    window.show()
    _tell_ready()
    collector = Collector(app)
    code = app.exec()
    collector.stop()
    del window, translators
    return code


if __name__ == "__main__":
    sys.exit(run_window(sys.argv))
