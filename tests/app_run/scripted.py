"""Run folders made by a script: events as a real run writes them, and drawn sample pictures."""

from __future__ import annotations

import json
import math
import random
import struct
from pathlib import Path

from PIL import Image, ImageDraw

from core.config.concepts import Concept
from core.config.job import Job
from core.config.model import Model
from core.runs.folder import RunFolder, step_name
from core.worker import protocol
from core.worker.protocol import encode

PROMPTS = (
    "a small red robot on a green hill",
    "a small red robot under a night sky with stars",
    "a yellow circle on a blue background",
)
START = 1_790_000_000.0


def a_job(name: str = "robot") -> Job:
    """A job that validates and names nothing real."""
    return Job(
        name=name,
        model=Model(base="somewhere/model.safetensors"),
        concepts=[Concept(name="robot", path="somewhere/pictures")],
    )


def draw(path: Path, index: int, learned: float, size: int = 64) -> None:
    """A picture of a robot that gets clearer as `learned` goes from 0 to 1."""
    random.seed(index)
    big = 4 * size
    sky, ground = [("#8ec5ea", "#5f9e4f"), ("#18213f", "#2b3d35"), ("#2f56b5", "#2f56b5")][index]
    image = Image.new("RGB", (big, big), sky)
    pen = ImageDraw.Draw(image)
    u = big / 64
    if index < 2:
        pen.ellipse((-20 * u, 42 * u, 84 * u, 110 * u), fill=ground)
    if index == 1:
        for _ in range(25):
            x, y = random.random() * big, random.random() * big * 0.6
            pen.ellipse((x, y, x + 1.2 * u, y + 1.2 * u), fill="#fff4c8")
    if index == 2:
        pen.ellipse((16 * u, 16 * u, 48 * u, 48 * u), fill="#f4cf3a")
    else:
        shift = (1 - learned) * 8 * u
        body = (22 * u - shift, 30 * u, 42 * u + shift, 52 * u)
        pen.rounded_rectangle(body, 3 * u, fill="#c8392f")
        pen.rounded_rectangle(
            (25 * u, 15 * u + shift, 39 * u, 28 * u + shift), 3 * u, fill="#dd5347"
        )
        if learned > 0.25:
            for x in (28, 34):
                pen.ellipse((x * u, 19 * u, (x + 3) * u, 22 * u), fill="#fdf6e3")
        if learned > 0.5:
            pen.line((32 * u, 15 * u, 32 * u, 9 * u), fill="#444444", width=int(1.5 * u))
            pen.ellipse((30 * u, 6 * u, 34 * u, 10 * u), fill="#f4cf3a")
        if learned > 0.7:
            pen.rectangle((24 * u, 52 * u, 29 * u, 58 * u), fill="#8f2620")
            pen.rectangle((35 * u, 52 * u, 40 * u, 58 * u), fill="#8f2620")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((size, size), Image.Resampling.BOX).save(path)


def write_checkpoint(
    run: RunFolder, step: int, *, state: bool = True, damaged: bool = False
) -> None:
    """A checkpoint folder that passes (or, damaged, fails) the checks of core.runs.checkpoints."""
    import hashlib

    folder = run.checkpoint(step)
    folder.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    data = struct.pack("<Q", len(header)) + header + bytes(16)
    (folder / "lora.safetensors").write_bytes(data[:-8] if damaged else data)
    (run.path / "lora.safetensors").write_bytes(data)
    if state:
        (folder / "state").mkdir(exist_ok=True)
        (folder / "state" / "optimizer.bin").write_bytes(b"0123")
        digest = hashlib.sha256(b"0123").hexdigest()
        facts = {"step": step, "files": {"optimizer.bin": {"size": 4, "sha256": digest}}}
        (folder / "state" / "manifest.json").write_text(json.dumps(facts))


def loss_at(step: int) -> float:
    """A loss curve with the noise of real ones."""
    random.seed(step)
    return (0.06 + 0.09 * math.exp(-step / 120)) * math.exp(random.gauss(0, 0.45))


def _beginning(now: float, since: int) -> list[protocol.Event]:
    """What a worker tells before it trains, from the time `now` on."""
    resumed = step_name(since) if since else ""
    return [
        protocol.Hello(time=now, pid=1, device="CPU, 2 threads", resumed_from=resumed),
        protocol.Phase(time=now, name="loading", done=2, total=3),
        protocol.Phase(time=now + 1, name="caching", done=20, total=20),
    ]


def events(
    run: RunFolder,
    *,
    total: int = 800,
    until: int = 420,
    since: int = 0,
    every: int = 50,
    size: int = 64,
    seconds: float = 0.32,
    hello: bool = True,
    status: protocol.Status | None = None,
    pictures: bool = True,
) -> list[protocol.Event]:
    """The events of a run from step `since` to `until`, with its pictures and checkpoints."""
    now = START + since * seconds
    smoothed = loss_at(0)
    result: list[protocol.Event] = []
    if hello:
        result += _beginning(now, since)
    result.append(protocol.Phase(time=now + 2, name="training", done=since, total=total))

    def sample(step: int) -> None:
        for index, prompt in enumerate(PROMPTS):
            path = run.samples(step) / f"{index:02d}-sample.png"
            if pictures:
                draw(path, index, step / total, size)
            result.append(
                protocol.Sample(
                    time=now, step=step, index=index, path=run.relative(path), prompt=prompt, seed=1
                )
            )

    if since == 0:
        sample(0)
    for step in range(since + 1, until + 1):
        now += seconds
        loss = loss_at(step)
        smoothed += (loss - smoothed) * max(0.03, 1 / (step - since + 1))
        result.append(
            protocol.Step(
                time=now,
                step=step,
                total=total,
                epoch=step / 40,
                loss=loss,
                smoothed=smoothed,
                lr={"unet": 1e-4 * min(1, step / 60) * (1 - 0.9 * max(0, step - 60) / total)},
                seconds=seconds,
                memory=2_250_000_000,
            )
        )
        if step % every == 0:
            sample(step)
        if step % 100 == 0:
            write_checkpoint(run, step)
            path = run.relative(run.checkpoint(step))
            result.append(protocol.Checkpoint(time=now, step=step, path=path, verified=True))
    if status:
        result.append(protocol.Done(time=now, status=status, step=until, path="lora.safetensors"))
    return result


def make_run(runs: Path, name: str = "2026-11-21_03-12-44-robot", **what: object) -> RunFolder:
    """A run folder with the events of `events(**what)`."""
    run = RunFolder(runs / name)
    run.path.mkdir(parents=True)
    run.job_file.write_text(json.dumps(a_job().model_dump()), encoding="utf-8")
    append(run, events(run, **what))  # type: ignore[arg-type]
    run.log_file.write_text(
        "--- worker 4711 ---\nloading the base model\nmade 4 buckets\ntraining\n", encoding="utf-8"
    )
    return run


def append(run: RunFolder, more: list[protocol.Event]) -> None:
    """Write more events to a run's file."""
    with open(run.events_file, "a", encoding="utf-8") as file:
        file.writelines(encode(event) + "\n" for event in more)
