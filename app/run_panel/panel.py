"""The run side of the window: the run that trains now, or an earlier one that was opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QApplication, QStackedWidget, QVBoxLayout, QWidget

from app import dialogs, theme
from app.background import Background
from app.run_panel import unfinished
from app.run_panel.checkpoint_choice import CheckpointChoice
from app.run_panel.controls import Controls
from app.run_panel.empty import EmptyPage
from app.run_panel.gallery import Gallery
from app.run_panel.log_view import LogView
from app.run_panel.model import ALIVE, RunView
from app.run_panel.notice import Notice
from app.run_panel.outcome import Offers, outcome
from app.run_panel.parts import link_button
from app.run_panel.pictures import PictureLoader
from app.run_panel.plot import LossPlot
from app.run_panel.runs_list import RunsList
from app.run_panel.session import Session
from app.run_panel.status import Header, Numbers
from app.run_panel.unfinished import Unfinished
from app.training_thread import Limits, find_running
from core.config.job import Job
from core.paths import default_runs_dir
from core.runs.checkpoints import list_checkpoints
from core.runs.folder import RunFolder
from core.worker import protocol

PICTURES, LOG, RUNS = range(3)
_PLOT_FROM = 36  # spacing units of height


class _Now(QWidget):
    """Picture, plot and numbers below each other; where all three cannot be, the plot gives way."""

    def __init__(self, gallery: Gallery, plot: LossPlot, numbers: Numbers) -> None:
        super().__init__()
        self._plot, self._numbers = plot, numbers
        self._zoomed = False
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.unit(1))
        layout.addWidget(gallery, 5)
        layout.addWidget(plot, 2)
        layout.addWidget(numbers)

    def set_zoomed(self, zoomed: bool) -> None:
        """Whether the picture has all the room."""
        self._zoomed = zoomed
        self._share()

    def minimumSizeHint(self) -> QSize:
        """What picture and numbers need; the plot asks for nothing."""
        least = super().minimumSizeHint()
        if self._plot.isHidden():
            return least
        plot = max(self._plot.minimumHeight(), self._plot.minimumSizeHint().height())
        return QSize(least.width(), least.height() - plot - theme.unit(1))

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._share()
        super().resizeEvent(event)

    def _share(self) -> None:
        room = self.height() >= theme.unit(_PLOT_FROM)
        self._plot.setVisible(room and not self._zoomed)
        self._numbers.setVisible(not self._zoomed)


class RunPanel(QWidget):
    """Follows the training run, shows it or an earlier one, and owns the buttons.

    Signals:
        trainRequested(): Train was pressed; the window checks the settings and calls `start`.
        collapsedChanged(bool): False when there is something to see now.
        pictureZoomed(bool): the picture wants the whole window, or gives it back.
        attentionNeeded(str): something happened that a person in another program should hear.
        titleProgress(str): for the window's title, such as `43 % · robot`; empty when idle.
        settingRequested(str): the path of a setting that a warning names.
        runningChanged(bool): a run has begun or ended.
    """

    trainRequested = Signal()
    collapsedChanged = Signal(bool)
    pictureZoomed = Signal(bool)
    attentionNeeded = Signal(str)
    titleProgress = Signal(str)
    settingRequested = Signal(str)
    runningChanged = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.limits = Limits()
        self.runs_dir = default_runs_dir()
        self._background = Background(self)
        self._loader = PictureLoader(self)
        self._live: Session | None = None
        self._shown: Session | None = None
        self._title = ""
        self._pictures_drawn = -1
        self._zoomed = False
        self._waved_off: object = None
        self._build()
        self._connect()
        self._show_nothing()
        app = QApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self._close_all)
        # After the window is up: looking for a running worker must not delay it.
        QTimer.singleShot(0, self, self._look_for_running)

    # --- building ------------------------------------------------------------

    def _build(self) -> None:
        self.controls = Controls()
        self.header = Header()
        self.back = link_button("", "play")
        self.notice = Notice()
        self.gallery = Gallery(self._loader)
        self.plot = LossPlot()
        self.numbers = Numbers()
        self.log = LogView()
        self.runs = RunsList(self._loader, self._background, self.runs_dir)
        self.empty = EmptyPage()
        self._now = _Now(self.gallery, self.plot, self.numbers)
        self.pages = QStackedWidget()
        for page in (self._now, self.log, self.runs, self.empty):
            self.pages.addWidget(page)
        layout = QVBoxLayout(self)
        margin = theme.unit(1.5)
        layout.setContentsMargins(margin, theme.unit(1), margin, theme.unit(1))
        layout.setSpacing(theme.unit(1))
        layout.addWidget(self.header)
        layout.addWidget(self.back, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self.notice)
        layout.addWidget(self.pages, 1)
        self.back.hide()
        self.setMinimumWidth(theme.unit(44))
        self._escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self)
        self._escape.setEnabled(False)

    def _connect(self) -> None:
        self._escape.activated.connect(lambda: self.set_zoomed(False))
        self.header.pageChosen.connect(self.show_page)
        self.back.clicked.connect(self._back_to_live)
        self.gallery.zoomAsked.connect(lambda: self.set_zoomed(not self._zoomed))
        self.gallery.stepShown.connect(self.plot.mark_step)
        self.plot.stepChosen.connect(self.gallery.show_step)
        self.log.settingRequested.connect(self.settingRequested)
        self.notice.waved_off.connect(self._wave_off)
        self.runs.openRequested.connect(self.attach)
        self.runs.resumeRequested.connect(self._offer_checkpoints)
        self.runs.is_busy = lambda path: self._is_live(path)
        self.empty.runsRequested.connect(lambda: self.show_page(RUNS))
        controls = self.controls
        controls.trainRequested.connect(self.trainRequested)
        controls.pauseRequested.connect(lambda: self.send(protocol.Pause()))
        controls.resumeRequested.connect(lambda: self.send(protocol.Resume()))
        controls.sampleRequested.connect(lambda: self.send(protocol.SampleNow()))
        controls.checkpointRequested.connect(lambda: self.send(protocol.CheckpointNow()))
        controls.stopRequested.connect(lambda save: self.send(protocol.Stop(save=save)))

    def sizeHint(self) -> QSize:
        """Room for the picture and the plot; the window may give more or less."""
        return QSize(theme.unit(64), theme.unit(80))

    # --- what the window calls -----------------------------------------------

    def set_ready(self, errors: int, warnings: int) -> None:
        """How many problems the settings have."""
        self.controls.set_ready(errors, warnings)

    def start(self, job: Job) -> None:
        """Begin a new run of `job`; nothing happens while another one runs."""
        if not self.is_running():
            self._begin(Session(job=job, runs=self.runs_dir, limits=self.limits, parent=self))

    def resume(
        self, run: Path, checkpoint: str = "latest", *, accept_changes: bool = False
    ) -> None:
        """Go on with a run from a checkpoint; nothing happens while another one runs.

        accept_changes: also where another model or optimizer has taken the place of the run's.
        """
        if not self.is_running():
            session = Session(
                run,
                launch=True,
                resume=checkpoint,
                accept_changes=accept_changes,
                limits=self.limits,
                parent=self,
            )
            self._begin(session)

    def attach(self, run: Path | str, *, signed_out: bool = False) -> None:
        """Show a run: follow it while a worker is busy with it, else replay what it left.

        signed_out: it was stopped because the user's session ended.
        """
        path = Path(run)
        if self._live is not None and self._is_live(path):
            self._show(self._live)
        else:
            session = Session(path, limits=self.limits, parent=self)
            session.signed_out = signed_out
            self._follow(session)
            self._show(session)
        self.show_page(PICTURES)

    def is_running(self) -> bool:
        """Whether a worker is busy, as far as this window knows."""
        return self._live is not None and self._live.alive

    def running_folder(self) -> Path | None:
        """The folder of the run that a worker is busy with, once it has one."""
        return self._live.folder if self._live is not None and self._live.alive else None

    def send(self, command: protocol.Command) -> None:
        """Hand a command to the running worker, if there is one."""
        if self._live is not None and self._live.alive:
            self._live.send(command)

    def shutdown(self, policy: Literal["stop", "detach"]) -> None:
        """Before the window closes: stop the worker with a checkpoint, or leave it working."""
        if policy == "stop":
            self.send(protocol.Stop(save=True))
        self._close_all()

    def set_runs_dir(self, runs: Path) -> None:
        """Where new runs go and earlier ones are looked for."""
        self.runs_dir = runs
        self.runs.set_folder(runs)

    def view(self) -> RunView | None:
        """What is known of the run on view."""
        return self._shown.view if self._shown else None

    def show_page(self, number: int) -> None:
        """0 samples and loss, 1 log, 2 earlier runs."""
        self.header.choose_page(number)
        if number == RUNS:
            self.runs.refresh()
        nothing = self._shown is None and number == PICTURES
        self.pages.setCurrentWidget(
            self.empty if nothing else (self._now, self.log, self.runs)[number]
        )

    def set_zoomed(self, zoomed: bool) -> None:
        """Give the picture all the room of the window, or take it back."""
        if zoomed == self._zoomed or (zoomed and self._shown is None):
            return
        self._zoomed = zoomed
        self.show_page(PICTURES)
        self._escape.setEnabled(zoomed)
        self._now.set_zoomed(zoomed)
        self._tell()
        self.gallery.set_zoomed(zoomed)
        self.pictureZoomed.emit(zoomed)

    # --- sessions ------------------------------------------------------------

    def _look_for_running(self) -> None:
        runs = self.runs_dir

        def work(_stop: object) -> Path | Unfinished | None:
            running = find_running(runs)
            return running[0] if running else unfinished.find(runs)

        self._background.run(self, "running", work, self._on_found)

    def _on_found(self, found: Any) -> None:
        if self._shown is not None:
            return
        if isinstance(found, Unfinished):
            self.attach(found.run, signed_out=found.signed_out)
        elif isinstance(found, Path):
            self.attach(found)

    def _begin(self, session: Session) -> None:
        unfinished.forget_sign_out()
        self._follow(session)
        self._show(session)
        self.show_page(PICTURES)

    def _follow(self, session: Session) -> None:
        session.changed.connect(lambda: self._on_changed(session))
        session.logged.connect(lambda lines: self._on_logged(session, lines))
        session.ready.connect(lambda: self._on_changed(session))
        session.ended.connect(lambda: self._on_ended(session))
        if session.alive:
            self._set_live(session)
        session.follow()

    def _set_live(self, session: Session) -> None:
        self._live = session
        self.runningChanged.emit(True)

    def _show(self, session: Session) -> None:
        previous, self._shown = self._shown, session
        if previous is not None and previous is not session and previous is not self._live:
            previous.close()
            previous.deleteLater()
        self._pictures_drawn = -1
        self._waved_off = None
        self.gallery.show_run(session.folder, session.view, self.gallery_text(session))
        self.plot.show_run(session.view)
        self.log.show_run(session.view.problems, list(session.lines))
        self.collapsedChanged.emit(False)
        self._on_changed(session)

    def _show_nothing(self) -> None:
        self.header.show_view(self.tr("Run"), RunView())
        self.show_page(PICTURES)
        self.controls.set_state("idle", False)

    def _back_to_live(self) -> None:
        if self._live is not None:
            self._show(self._live)
            self.show_page(PICTURES)

    def _is_live(self, path: Path) -> bool:
        live = self._live
        return live is not None and live.alive and live.folder == path

    def _on_changed(self, session: Session) -> None:
        if session.alive and session.caught_up and self._live is None:
            self._set_live(session)  # a run of an earlier window
        if session is self._live:
            state = session.view.state if session.alive else "idle"
            self.controls.set_state(state, session.view.step > 0)
            self._tell_title(session)
        if session is self._shown:
            self._draw(session)
        self._tell_back()

    def _on_logged(self, session: Session, lines: list[str]) -> None:
        if session is self._shown:
            self.log.add_lines(lines)

    def _on_ended(self, session: Session) -> None:
        if session is not self._live:
            return
        self._live = None
        self.controls.set_state("idle", False)
        self._set_title("")
        self._tell_back()
        told = outcome(session, self._offers(session))
        if told is not None:
            self.attentionNeeded.emit(f"{session.name}: {told.title}")
        self.runningChanged.emit(False)
        if self.pages.currentWidget() is self.runs:
            self.runs.refresh()
        if session is not self._shown:
            session.deleteLater()

    def _close_all(self) -> None:
        for session in {self._live, self._shown} - {None}:
            assert session is not None
            session.close()
        self._loader.close()
        self._background.close()

    # --- drawing -------------------------------------------------------------

    def _draw(self, session: Session) -> None:
        view = session.view
        self.header.show_view(session.name or self.tr("New run"), view)
        errors = any(isinstance(p, protocol.ProblemEvent) for p in view.problems)
        self.header.set_warnings(len(view.problems), errors)
        self.numbers.show_view(view)
        if self._pictures_drawn != view.pictures_revision:
            self._pictures_drawn = view.pictures_revision
            self.gallery.show_folder(session.folder)
            self.gallery.refresh()
        self.gallery.set_empty_text(self.gallery_text(session))
        self.plot.refresh()
        self.log.set_problems(view.problems)
        self._tell()

    def gallery_text(self, session: Session) -> str:
        """The sentence that stands where no sample is yet."""
        if session.view.state in ALIVE:
            return self.tr("Samples appear here as soon as they are drawn.")
        if session.caught_up:
            return self.tr("This run has no samples.")
        return ""

    def _tell(self) -> None:
        session = self._shown
        told = outcome(session, self._offers(session)) if session and not self._zoomed else None
        if told is None or told.key == self._waved_off:
            self.notice.clear()
        else:
            self.notice.tell(told.kind, told.title, told.detail, told.lines, told.actions)

    def _offers(self, session: Session) -> Offers:
        def resume() -> None:
            if session.folder is not None:
                self.resume(session.folder)

        def accept() -> None:
            if session.folder is not None:
                self.resume(session.folder, session.resumed_from(), accept_changes=True)

        return Offers(
            resume=None if self.is_running() else resume,
            accept=None if self.is_running() else accept,
            kill=session.kill,
            wait=self._wave_off,
            log=lambda: self.show_page(LOG),
            setting=self.settingRequested.emit,
        )

    def _wave_off(self) -> None:
        session = self._shown
        told = outcome(session, self._offers(session)) if session else None
        self._waved_off = told.key if told else None
        if session is not None and session.folder is not None and not session.alive:
            unfinished.dismiss(session.folder)
        self._tell()

    def _tell_back(self) -> None:
        live = self._live
        away = live is not None and live.alive and live is not self._shown
        if away and live is not None:
            view = live.view
            words = self.tr("Back to {0}, which is training: step {1} / {2}")
            self.back.setText(words.format(live.name, view.step, view.total))
        self.back.setVisible(away)

    def _tell_title(self, session: Session) -> None:
        view = session.view
        if not session.alive:
            self._set_title("")
        elif view.state == "paused":
            self._set_title(self.tr("paused · {0}").format(session.name))
        elif view.total:
            self._set_title(f"{100 * view.step // view.total} % · {session.name}")
        else:
            self._set_title(self.tr("starting · {0}").format(session.name))

    def _set_title(self, text: str) -> None:
        if text != self._title:
            self._title = text
            self.titleProgress.emit(text)

    # --- resuming ------------------------------------------------------------

    def _offer_checkpoints(self, path: Path) -> None:
        if self.is_running():
            return
        run = RunFolder(path)
        done: Callable[[Any], None] = lambda found: self._choose_checkpoint(run, found)  # noqa: E731
        self._background.run(self, "checkpoints", lambda _stop: list_checkpoints(run), done)

    def _choose_checkpoint(self, run: RunFolder, found: Any) -> None:
        if not isinstance(found, list) or not found:
            dialogs.ask(
                self,
                self.tr("Resume"),
                self.tr("This run has no checkpoint to resume from."),
                [("", self.tr("Close"))],
                str(found) if isinstance(found, Exception) else "",
            )
            return
        dialog = CheckpointChoice(run, found, self._loader, self)
        dialog.accepted.connect(lambda: self.resume(run.path, dialog.chosen()))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()
