"""Earlier runs: open again, resume from a checkpoint, show in the folder, move to the trash."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import (
    QAbstractListModel,
    QFile,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFontMetrics, QGuiApplication, QPainter
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListView,
    QMenu,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from app import dialogs, icons, theme
from app.background import Background
from app.run_panel.parts import counted, reveal, tool_button
from app.run_panel.picture import draw_missing, fit_image
from app.run_panel.pictures import PictureLoader
from core.runs.history import RunStatus, RunSummary, list_runs

Index = QModelIndex | QPersistentModelIndex

STATUS_ROLES: dict[RunStatus, str] = {
    "finished": "good",
    "stopped": "muted",
    "failed": "error",
    "running": "accent_text",
    "crashed": "error",
    "waiting": "muted",
}


class RunsModel(QAbstractListModel):
    """The runs of a folder, newest first."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[RunSummary] = []

    def set_runs(self, runs: list[RunSummary]) -> None:
        """Show these."""
        if runs != self.runs:
            self.beginResetModel()
            self.runs = runs
            self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.runs)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        run = self.runs[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{run.name}, {describe(run)}"
        if role == Qt.ItemDataRole.UserRole:
            return run
        return None


def describe(run: RunSummary, now: datetime | None = None) -> str:
    """When, how far and how a run went, in one line."""
    now = now or datetime.now()
    day = f"{run.created:%H:%M}" if run.created.date() == now.date() else f"{run.created:%d %b %Y}"
    words = {"crashed": "interrupted"}.get(run.status, run.status)
    steps = f"{run.step} / {run.total} steps" if run.total else counted(run.step, "step", "steps")
    return f"{day}  ·  {words}  ·  {steps}"


class _Delegate(QStyledItemDelegate):
    def __init__(self, loader: PictureLoader, parent: QListView) -> None:
        super().__init__(parent)
        self._loader = loader

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(theme.unit(20), theme.unit(8))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        run = index.data(Qt.ItemDataRole.UserRole)
        rect: QRect = option.rect  # type: ignore[attr-defined]
        state: QStyle.StateFlag = option.state  # type: ignore[attr-defined]
        colours = theme.colours()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if state & QStyle.StateFlag.State_Selected:
            self._fill(painter, rect, colours.accent_soft)
        elif state & QStyle.StateFlag.State_MouseOver:
            self._fill(painter, rect, colours.hover)
        pad = theme.unit(1)
        edge = rect.height() - 2 * pad
        box = QRectF(rect.left() + pad, rect.top() + pad, edge, edge)
        self._paint_picture(painter, run, box)
        left = int(box.right()) + pad + theme.unit(0.5)
        width = rect.right() - pad - left
        painter.setFont(theme.font("body"))
        metrics = QFontMetrics(theme.font("body"))
        small = QFontMetrics(theme.font("small"))
        top = rect.center().y() - (metrics.height() + small.height()) // 2
        painter.setPen(QColor(colours.text))
        name = metrics.elidedText(run.name, Qt.TextElideMode.ElideRight, width)
        painter.drawText(QPoint(left, top + metrics.ascent()), name)
        painter.setFont(theme.font("small"))
        painter.setPen(QColor(getattr(colours, STATUS_ROLES[run.status])))
        middle = top + metrics.height() + small.height() // 2
        dot = theme.unit(0.75)
        painter.setBrush(painter.pen().color())
        painter.drawEllipse(QRectF(left, middle - dot / 2, dot, dot))
        painter.setPen(QColor(colours.muted))
        text_left = left + dot + theme.unit(0.75)
        room = width - (text_left - left)
        line = small.elidedText(describe(run), Qt.TextElideMode.ElideRight, int(room))
        baseline = top + metrics.height() + small.ascent()
        painter.drawText(QPoint(int(text_left), baseline), line)
        painter.restore()

    def _fill(self, painter: QPainter, rect: QRect, colour: str) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colour))
        radius = theme.unit(0.5)
        painter.drawRoundedRect(rect, radius, radius)

    def _paint_picture(self, painter: QPainter, run: RunSummary, box: QRectF) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.colours().picture))
        painter.drawRoundedRect(box, 3, 3)
        ratio = painter.device().devicePixelRatioF()
        image = None
        if run.last_sample is not None:
            image = self._loader.get(run.last_sample, round(box.width() * ratio))
        if run.last_sample is None or (image is not None and image.isNull()):
            draw_missing(painter, box)
        elif image is not None:
            scaled = fit_image(image, int(box.width() * ratio), int(box.height() * ratio))
            target = QRectF(0, 0, scaled.width() / ratio, scaled.height() / ratio)
            target.moveCenter(box.center())
            painter.drawImage(target, scaled)


class RunsList(QWidget):
    """The page of earlier runs.

    Signals:
        openRequested(object): Path of the run to show.
        resumeRequested(object): Path of the run whose checkpoints to offer.
    """

    openRequested = Signal(object)
    resumeRequested = Signal(object)

    def __init__(self, loader: PictureLoader, background: Background, runs: Path) -> None:
        super().__init__()
        self._loader, self._background, self._runs = loader, background, runs
        self.is_busy: Callable[[Path], bool] = lambda _path: False
        self.model = RunsModel()
        self.view = QListView()
        self.view.setModel(self.model)
        self.view.setItemDelegate(_Delegate(loader, self.view))
        self.view.setMouseTracking(True)
        self.view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.view.setUniformItemSizes(True)
        self.view.setAccessibleName(self.tr("Earlier runs"))
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._show_menu)
        self.view.activated.connect(lambda _index: self._open())
        self.view.selectionModel().currentChanged.connect(self._update_buttons)
        self.model.modelReset.connect(self._update_buttons)
        self._empty = QLabel(self.tr("No runs yet. What you train appears here."))
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        theme.set_role(self._empty, "muted")
        self._told = QLabel()
        self._told.setWordWrap(True)
        self._told.hide()
        theme.set_role(self._told, "error")
        self._build_buttons()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.unit(1))
        layout.addWidget(self._empty, 1)
        layout.addWidget(self.view, 1)
        layout.addWidget(self._told)
        layout.addLayout(self._buttons)
        loader.loaded.connect(lambda *_: self.view.viewport().update())
        self._update_buttons()

    def _build_buttons(self) -> None:
        self.open_button = QPushButton(self.tr("Open"))
        self.open_button.setToolTip(self.tr("Show the samples, the loss curve and the log again."))
        self.open_button.clicked.connect(self._open)
        self.resume_button = QPushButton(self.tr("Resume from…"))
        self.resume_button.setToolTip(self.tr("Go on training from one of its checkpoints."))
        self.resume_button.clicked.connect(self._resume)
        self.folder_button = tool_button("folder-open", self.tr("Show in folder"))
        self.folder_button.clicked.connect(self._reveal)
        self.copy_button = tool_button("copy", self.tr("Copy the LoRA file's path"))
        self.copy_button.clicked.connect(self._copy)
        self.delete_button = tool_button("trash-2", self.tr("Move to the trash"))
        self.delete_button.clicked.connect(self._delete)
        self.refresh_button = tool_button("refresh-cw", self.tr("Look again"))
        self.refresh_button.clicked.connect(self.refresh)
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(theme.unit(0.75))
        for button in (self.open_button, self.resume_button):
            self._buttons.addWidget(button)
        self._buttons.addStretch(1)
        for tool in (
            self.folder_button,
            self.copy_button,
            self.delete_button,
            self.refresh_button,
        ):
            self._buttons.addWidget(tool)

    def set_folder(self, runs: Path) -> None:
        """List the runs of another folder."""
        self._runs = runs
        self.refresh()

    def refresh(self) -> None:
        """Read the folder again, in the background."""
        folder = self._runs
        self._background.run(self, "runs", lambda _stop: list_runs(folder), self._on_listed)

    def selected(self) -> RunSummary | None:
        """The run that is selected."""
        index = self.view.currentIndex()
        return self.model.runs[index.row()] if index.isValid() else None

    def _on_listed(self, result: object) -> None:
        if not isinstance(result, list):
            self._tell(self.tr("The runs in {0} cannot be read: {1}").format(self._runs, result))
            return
        self._told.hide()
        before = self.selected()
        self.model.set_runs(result)
        rows = [i for i, run in enumerate(result) if before and run.path == before.path]
        if rows or result:
            self.view.setCurrentIndex(self.model.index(rows[0] if rows else 0))
        self._update_buttons()

    def _update_buttons(self, *_: object) -> None:
        run = self.selected()
        some = bool(self.model.runs)
        self.view.setVisible(some)
        self._empty.setVisible(not some)
        busy = run is not None and (run.status == "running" or self.is_busy(run.path))
        self.open_button.setEnabled(run is not None)
        self.resume_button.setEnabled(run is not None and not busy and run.checkpoints > 0)
        self.folder_button.setEnabled(run is not None)
        self.copy_button.setEnabled(run is not None and run.checkpoints > 0)
        self.delete_button.setEnabled(run is not None and not busy)

    def _show_menu(self, at: QPoint) -> None:
        if self.selected() is None:
            return
        menu = QMenu(self)
        for text, icon, button in (
            (self.tr("Open"), "images", self.open_button),
            (self.tr("Resume from…"), "play", self.resume_button),
            (self.tr("Show in folder"), "folder-open", self.folder_button),
            (self.tr("Copy the LoRA file's path"), "copy", self.copy_button),
            (self.tr("Move to the trash"), "trash-2", self.delete_button),
        ):
            action = menu.addAction(icons.icon(icon), text, button.click)
            action.setEnabled(button.isEnabled())
        menu.exec(self.view.viewport().mapToGlobal(at))

    def _open(self) -> None:
        if run := self.selected():
            self.openRequested.emit(run.path)

    def _resume(self) -> None:
        if run := self.selected():
            self.resumeRequested.emit(run.path)

    def _reveal(self) -> None:
        if run := self.selected():
            reveal(run.path)

    def _copy(self) -> None:
        if run := self.selected():
            QGuiApplication.clipboard().setText(str(run.folder.lora_file))

    def _delete(self) -> None:
        run = self.selected()
        if run is None:
            return
        answer = dialogs.ask(
            self,
            self.tr("Move to the trash"),
            self.tr("Move the run “{0}” to the trash?").format(run.name),
            [("delete", self.tr("Move to the trash")), ("", self.tr("Keep it"))],
            self.tr("Its samples and checkpoints go with it; it can be restored from the trash."),
        )
        if answer != "delete":
            return

        def trash(_stop: object) -> bool:
            # The instance form tells reliably whether it worked; nothing is ever unlinked.
            return bool(QFile(str(run.path)).moveToTrash())

        def then(moved: object) -> None:
            if moved is not True:
                words = self.tr("{0} could not be moved to the trash; delete the folder yourself.")
                self._tell(words.format(run.path))
            else:
                self.refresh()

        self._background.run(self, ("trash", run.path), trash, then)

    def _tell(self, text: str) -> None:
        self._told.setText(text)
        self._told.show()
