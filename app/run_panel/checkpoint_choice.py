"""The question from which checkpoint a run shall go on."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QGuiApplication, QIcon, QImage, QPixmap
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import icons, theme
from app.run_panel.picture import fit_image
from app.run_panel.pictures import PictureLoader
from core.runs.checkpoints import CheckpointInfo
from core.runs.folder import RunFolder

NAME = Qt.ItemDataRole.UserRole
PICTURE = Qt.ItemDataRole.UserRole + 1


class CheckpointChoice(QDialog):
    """Lists a run's checkpoints, newest first; damaged and stateless ones cannot be chosen."""

    def __init__(
        self,
        run: RunFolder,
        checkpoints: list[CheckpointInfo],
        loader: PictureLoader,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._run, self._loader = run, loader
        self.setWindowTitle(self.tr("Resume from a checkpoint"))
        intro = QLabel(
            self.tr(
                "Training goes on exactly as it was at that step. What came after it in this "
                "run is trained again."
            )
        )
        intro.setWordWrap(True)
        self.list = QListWidget()
        self.list.setIconSize(QSize(theme.unit(6), theme.unit(6)))
        self.list.itemDoubleClicked.connect(lambda _item: self._accept_if_usable())
        for checkpoint in reversed(checkpoints):
            self.list.addItem(self._item(checkpoint))
        self.buttons = QDialogButtonBox()
        self.resume = self.buttons.addButton(
            self.tr("Resume"), QDialogButtonBox.ButtonRole.AcceptRole
        )
        self.copy = self.buttons.addButton(
            self.tr("Copy the LoRA's path"), QDialogButtonBox.ButtonRole.ActionRole
        )
        self.buttons.addButton(self.tr("Cancel"), QDialogButtonBox.ButtonRole.RejectRole)
        theme.set_role(self.resume, "primary")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.copy.clicked.connect(self._copy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[theme.unit(2)] * 4)
        layout.setSpacing(theme.unit(1.5))
        layout.addWidget(intro)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.buttons)
        self.resize(theme.unit(56), theme.unit(52))
        self.list.currentItemChanged.connect(self._update)
        loader.loaded.connect(self._on_loaded)
        self._select_first()

    def chosen(self) -> str:
        """The name of the checkpoint that was chosen."""
        item = self.list.currentItem()
        return str(item.data(NAME)) if item else ""

    def _item(self, checkpoint: CheckpointInfo) -> QListWidgetItem:
        if checkpoint.problem is not None:
            note = self.tr("damaged: {0}").format(checkpoint.problem.title)
        elif not checkpoint.has_state:
            note = self.tr("LoRA only; what resuming needs was not kept")
        else:
            note = self.tr("can be resumed")
        item = QListWidgetItem(self.tr("Step {0}").format(checkpoint.step) + f"\n{note}")
        item.setData(NAME, checkpoint.name)
        item.setToolTip(note)
        if not (checkpoint.valid and checkpoint.has_state):
            item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEnabled)
        if checkpoint.problem is not None:
            item.setIcon(icons.icon("triangle-alert", "error"))
        else:
            self._set_picture(item, checkpoint.step)
        return item

    def _set_picture(self, item: QListWidgetItem, step: int) -> None:
        folder = self._run.samples(step)
        pictures = sorted(p for p in folder.glob("*.png") if not p.name.startswith("."))
        item.setIcon(icons.icon("layers", "muted"))
        if pictures:
            item.setData(PICTURE, str(pictures[0]))
            image = self._loader.get(pictures[0], self._edge())
            if image is not None:
                self._show_picture(item, image)

    def _edge(self) -> int:
        return round(theme.unit(6) * self.devicePixelRatioF())

    def _show_picture(self, item: QListWidgetItem, image: QImage) -> None:
        if not image.isNull():
            edge = self._edge()
            item.setIcon(QIcon(QPixmap.fromImage(fit_image(image, edge, edge))))

    def _on_loaded(self, path: str, edge: int, image: QImage) -> None:
        for row in range(self.list.count()):
            item = self.list.item(row)
            if edge == self._edge() and item.data(PICTURE) == path:
                self._show_picture(item, image)

    def _select_first(self) -> None:
        for row in range(self.list.count()):
            if self.list.item(row).flags() & Qt.ItemFlag.ItemIsEnabled:
                self.list.setCurrentRow(row)
                break
        self._update()

    def _usable(self) -> bool:
        item = self.list.currentItem()
        return item is not None and bool(item.flags() & Qt.ItemFlag.ItemIsEnabled)

    def _accept_if_usable(self) -> None:
        if self._usable():
            self.accept()

    def _update(self, *_: object) -> None:
        self.resume.setEnabled(self._usable())
        self.copy.setEnabled(self.list.currentItem() is not None)

    def _copy(self) -> None:
        lora: Path = self._run.checkpoints_folder / self.chosen() / "lora.safetensors"
        QGuiApplication.clipboard().setText(str(lora))
