"""Asks the computer, without waiting for it, what training will run on."""

from __future__ import annotations

from PySide6.QtCore import QObject, QProcess, Signal

QUERY = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]


class Hardware(QObject):
    """Runs nvidia-smi once. Signals: found(sentence) with one line for people."""

    found = Signal(str)

    def __init__(self, parent: QObject, program: str = "nvidia-smi") -> None:
        super().__init__(parent)
        self._told = False
        self._process = QProcess(self)
        self._process.setProgram(program)
        self._process.setArguments(QUERY)
        self._process.finished.connect(self._finished)
        self._process.errorOccurred.connect(lambda _: self._tell(""))

    def ask(self) -> None:
        """Start asking."""
        self._process.start()

    def stop(self) -> None:
        """Give up asking; nothing is told any more."""
        self._told = True
        if self._process.state() != QProcess.ProcessState.NotRunning:
            self._process.blockSignals(True)
            self._process.kill()
            self._process.waitForFinished(1000)

    def _finished(self, code: int) -> None:
        output = bytes(self._process.readAllStandardOutput().data()).decode("utf-8", "replace")
        self._tell(output if code == 0 else "")

    def _tell(self, output: str) -> None:
        if not self._told:
            self._told = True
            self.found.emit(self.sentence(output))

    def sentence(self, output: str) -> str:
        """nvidia-smi's answer as one line; empty output means that there is none."""
        cards = [[part.strip() for part in line.split(",")] for line in output.splitlines()]
        cards = [card for card in cards if len(card) == 3]
        if not cards:
            return self.tr("No NVIDIA GPU found: training will run on the processor.")
        name, memory, driver = cards[0]
        parts = [name]
        if memory.isdigit():
            parts.append(self.tr("%1 GB").replace("%1", f"{int(memory) / 1024:.0f}"))
        parts.append(self.tr("driver %1").replace("%1", driver))
        line = ", ".join(parts)
        if len(cards) > 1:
            line += self.tr(" and %n more", "", len(cards) - 1)
        return line
