"""A program that behaves like a worker, well or badly: `fake_worker.py SCENARIO RUN [--resume N]`.

It speaks the protocol on stdout and in events.jsonl, holds the run's lock and obeys commands, but
trains nothing.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

from core.runs import lock
from core.runs.events import EventLog
from core.runs.folder import RunFolder, step_of
from core.worker import protocol

TOTAL = 40


class Fake:
    def __init__(self, run: RunFolder, resume: str) -> None:
        self.run, self.resume = run, resume
        self.lock = lock.acquire(run)
        assert self.lock is not None, "the run's lock is taken"
        self.log = EventLog(run.events_file)
        self.commands: queue.Queue[protocol.Command] = queue.Queue()
        threading.Thread(target=self._read_stdin, daemon=True).start()
        threading.Thread(target=self._read_folder, daemon=True).start()
        sys.stderr = open(run.log_file, "a", buffering=1)  # noqa: SIM115

    def _read_stdin(self) -> None:
        while line := os.read(0, 65536):
            for part in line.splitlines():
                command = protocol.decode_command(part)
                if command is not None:
                    self.commands.put(command)

    def _read_folder(self) -> None:
        while True:
            time.sleep(0.05)
            for path in sorted(self.run.commands_folder.glob("[!.]*.json")):
                command = protocol.decode_command(path.read_bytes())
                path.unlink()
                if command is not None:
                    self.commands.put(command)

    def say(self, event: protocol._Event, file: bool = True) -> None:
        if file:
            self.log.append(event)
        with contextlib.suppress(OSError):
            os.write(1, protocol.encode(event).encode() + b"\n")

    def hello(self) -> None:
        self.say(protocol.Hello(pid=os.getpid(), resumed_from=self.resume))
        self.say(protocol.Phase(name="loading", done=1, total=2))

    def step(self, step: int, total: int = TOTAL) -> None:
        self.say(
            protocol.Step(
                step=step,
                total=total,
                epoch=step / 10,
                loss=1 / step,
                lr={"unet": 1e-4},
                seconds=0.01,
            )
        )

    def done(self, status: protocol.Status, step: int) -> None:
        (self.run.path / "lora.safetensors").write_bytes(b"lora")
        self.say(protocol.Done(status=status, step=step, path="lora.safetensors"))

    def train(self, total: int = TOTAL, pace: float = 0.01, obey: bool = True) -> int:
        """Steps to the end, obeying commands; returns the exit code."""
        self.say(protocol.Phase(name="training", total=total))
        step = step_of(self.resume) or 0
        paused = False
        while step < total or paused:
            while not self.commands.empty():
                command = self.commands.get()
                print("command:", command.type, file=sys.stderr)
                match command:
                    case protocol.Stop():
                        if obey:
                            self.done("stopped", step)
                            return 130
                    case protocol.Pause():
                        paused = True
                        self.say(protocol.Phase(name="paused"))
                    case protocol.Resume():
                        paused = False
                        self.say(protocol.Phase(name="training", total=total))
                    case protocol.SampleNow():
                        path = f"samples/step-{step:06d}/00.png"
                        self.say(protocol.Sample(step=step, index=0, path=path, prompt="p", seed=1))
                    case protocol.CheckpointNow():
                        path = f"checkpoints/step-{step:06d}"
                        self.say(protocol.Checkpoint(step=step, path=path, verified=True))
            if not paused:
                step += 1
                self.step(step, total)
            time.sleep(pace)
        self.done("finished", step)
        return 0


def main() -> int:
    scenario, folder = sys.argv[1], Path(sys.argv[2])
    resume = sys.argv[4] if len(sys.argv) > 4 else ""
    if scenario == "broken_start":
        print("ModuleNotFoundError: No module named 'torch'", file=sys.stderr)
        return 1
    if scenario == "slow_start":
        time.sleep(0.8)
    fake = Fake(RunFolder(folder), resume)
    if scenario == "silent_start":
        time.sleep(60)
    fake.hello()
    if scenario == "crash":
        fake.step(1)
        print("something went wrong in line 7", file=sys.stderr)
        return 7
    if scenario == "killed":
        fake.step(1)
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if scenario == "hang":
        fake.step(1)
        time.sleep(1.2)
        fake.step(2)
        time.sleep(60)
    if scenario == "deaf":
        return fake.train(10**6, obey=False)
    if scenario == "flood":
        for step in range(1, 20_001):
            fake.step(step, 20_000)
        fake.done("finished", 20_000)
        return 0
    if scenario == "garbage":
        os.write(1, b"Loading pipeline components...: 100%|###|\n\xff\xfe\x00\n{}\n[1, 2]\n")
        os.write(1, b'{"type": "step", "step": \n{"type": "from_the_future"}\n')
        os.write(1, b"no end of line and then ")
        os.write(1, b"\n")
        half = protocol.encode(protocol.Step(step=1, total=2, epoch=0, loss=0.5)).encode()
        os.write(1, half[:20])
        time.sleep(0.2)
        os.write(1, half[20:] + b"\n")
        fake.done("finished", 2)
        return 0
    if scenario == "changed" and "--accept-changes" not in sys.argv:
        fake.say(
            protocol.ProblemEvent(
                code="model_changed",
                title="The VAE has changed since this run began.",
                hint="Put the former files back, or accept the change.",
                setting="model.vae",
            )
        )
        fake.say(protocol.Done(status="failed", step=0))
        return 1
    if scenario == "failed":
        fake.say(
            protocol.ProblemEvent(
                code="out_of_memory",
                title="The GPU's memory is not enough for these settings.",
                hint="Lower the batch size.",
                setting="training.batch_size",
            )
        )
        fake.say(protocol.Done(status="failed", step=0))
        return 1
    return fake.train(
        10**6 if scenario == "long" else TOTAL, pace=0.03 if scenario == "long" else 0.01
    )


if __name__ == "__main__":
    code = main()
    os._exit(code)
