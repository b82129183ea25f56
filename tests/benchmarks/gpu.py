"""What training takes on this computer's GPU: one table for all families, without network.

    python -m tests.benchmarks.gpu [--write] [--minutes 8] [--families sd15,sdxl] [--ways bf16]
    python -m tests.benchmarks.gpu --tiny

Models have their real size and random weights. Each way to train is a process of its own, as in
the program. What does not work here, or is not reached in time, stands in the table with its
reason. `--write` puts the table into docs/measured.md. `--tiny` measures tiny models on the
processor, to see that everything runs; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from core.families.registry import family
from core.files import write_text
from core.model_families import FAMILIES
from tests.benchmarks import gpu_measures as measures
from tests.benchmarks.gpu_measures import BATCH_SIZES, Effort, Extra, Row, gigabytes
from tests.benchmarks.random_models import random_weights, write_full_size

SIZES, TINY_SIZES = (512, 1024), (64, 128)
_TINY = Effort(warm_up=1, steps=2, seconds=1.0, profiled=1, sampling_steps=2)
# How far a loss may be from the one that the processor calculates in float32.
CLOSE = 1e-2
_REPORT = Path(__file__).parents[2] / "docs" / "measured.md"
_HEADING = "## Training on a GPU"


@dataclass(frozen=True)
class Way:
    """One way to train that is measured.

    settings: what differs from the program's defaults, by path. sizes: how many of the sizes of
    pictures, from the smallest; batches: of which sizes. extras: what else is found out
    afterwards. processor: without the GPU, as the reference for losses.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    sizes: int = 1
    batches: tuple[int, ...] = BATCH_SIZES[:1]
    extras: tuple[Extra, ...] = ()
    processor: bool = False


WAYS = (
    Way(
        "bf16",
        {"training.precision": "bfloat16"},
        sizes=2,
        batches=BATCH_SIZES,
        extras=(measures.pausing, measures.sampling),
    ),
    Way("processor", {"training.precision": "float32"}, batches=(), processor=True),
    Way("fp16", {"training.precision": "float16"}, extras=(measures.overflow,)),
    Way(
        "AdamW 8-bit",
        {"training.precision": "bfloat16", "training.optimizer": "adamw_8bit"},
    ),
)


def measure(way: Way, name: str, folder: Path, tiny: bool) -> Iterator[Row]:
    """The rows of a family called `name`, trained in one way, as they come.

    folder: where models, pictures and runs lie. The first row is about the whole way.
    """
    settings = dict(way.settings)
    if tiny and settings.get("training.precision") == "bfloat16":
        # What processors calculate in; their bfloat16 is emulated.
        settings["training.precision"] = "float32"
    # Every picture is encoded before the first step; a processor takes minutes for large ones.
    sizes = (TINY_SIZES if tiny else SIZES)[: way.sizes]
    model = folder / name
    bench = None
    with nullcontext() if tiny else random_weights():
        started = time.perf_counter()
        try:
            bench = measures.open_bench(model, folder, sizes, settings, _TINY if tiny else Effort())
            opened = f"ready after {time.perf_counter() - started:.0f} s"
            loss = measures.first_loss(bench)
            row = Row(name, way.name, loss=loss, device=_device_name(bench.session.device))
            yield replace(row, remark=opened)
            wanted = [(size, batch) for size in sizes for batch in way.batches]
            for found in measures.cases(bench, wanted):
                yield replace(found, family=name, way=way.name)
            for extra in way.extras:
                yield Row(name, way.name, remark=_told(extra, bench))
        except Exception as error:
            yield Row(name, way.name, remark=measures.in_words(error))
        finally:
            if bench is not None:
                bench.session.close()


def _told(extra: Extra, bench: measures.Bench) -> str:
    try:
        return extra(bench)
    except Exception as error:
        return f"{extra.__name__} failed: {measures.in_words(error)}"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "processor"


def in_own_process(way: Way, name: str, folder: Path, tiny: bool, seconds: float) -> list[Row]:
    """The same in a process that is ended after `seconds`; what it has found until then counts."""
    said = folder / "rows.jsonl"
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "--only", name, way.name]
    command += ["--folder", str(folder), *(["--tiny"] if tiny else [])]
    environment = dict(os.environ)
    if way.processor:
        environment |= {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}
    over = ""
    with said.open("wb") as out:
        try:
            done = subprocess.run(command, stdout=out, env=environment, timeout=seconds)
            if done.returncode:
                over = f"the process ended with {done.returncode}"
        except subprocess.TimeoutExpired:
            over = "the time was over"
    lines = said.read_text(encoding="utf-8").splitlines()
    rows = [Row(**json.loads(line)) for line in lines if line.startswith("{") and line[-1] == "}"]
    return [*rows, Row(name, way.name, remark=over)] if over else rows


def compared(rows: list[Row]) -> list[Row]:
    """The rows with each loss held against that of the processor for the same family."""
    reference = {row.family: row.loss for row in rows if row.way == "processor" and row.loss}
    told = []
    for row in rows:
        known = reference.get(row.family)
        if row.loss is None or row.way == "processor":
            told.append(row)
        elif known is None:
            told.append(_add(row, "loss not compared, the processor's is not there"))
        else:
            off = abs(row.loss - known) / known
            verdict = f"within {CLOSE:g}" if off <= CLOSE else f"MORE THAN {CLOSE:g}"
            told.append(_add(row, f"loss {off:.1e} from the processor's, {verdict}"))
    return told


def _add(row: Row, remark: str) -> Row:
    return replace(row, remark="; ".join(filter(None, (row.remark, remark))))


_COLUMNS = (
    "model", "way", "px", "batch", "s/step", "GPU busy", "peak", "pre-flight", "ratio", "remark"
)  # fmt: skip


def table(rows: list[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = [_COLUMNS, tuple("---" for _ in _COLUMNS), *(_cells(row) for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cells(row: Row) -> tuple[str, ...]:
    def shown(value: Any, how: Callable[[Any], str] = str) -> str:
        return "" if value is None or value == 0 else how(value)

    ratio = row.estimate / row.peak if row.estimate and row.peak else None
    remark = row.remark
    if row.loss is not None:
        remark = "; ".join(filter(None, (f"loss {row.loss:.4f}", remark)))
    return (
        FAMILIES[row.family].title,
        row.way,
        shown(row.pixels),
        shown(row.batch),
        shown(row.seconds, "{:.3f}".format),
        shown(row.busy, "{:.0%}".format),
        shown(row.peak, gigabytes),
        shown(row.estimate, gigabytes),
        shown(ratio, "{:.2f}".format),
        remark.replace("|", "/"),
    )


def report(rows: list[Row], seconds: float) -> str:
    """The table with its heading, and what it was measured on."""
    devices = sorted({row.device for row in rows if row.device} - {"processor"})
    device = ", ".join(devices) or f"the processor ({platform.machine()})"
    return (
        f"{_HEADING}\n\n"
        f"{device}, torch {torch.__version__}, {date.today().isoformat()}, {seconds / 60:.1f} "
        "minutes in all. Random weights of real size; rank and everything else as by default. "
        "Peak: GPU memory that is reserved, with what CUDA itself takes.\n\n"
        f"{table(rows)}"
    )


def with_section(text: str, section: str) -> str:
    """A Markdown text with `section`, which begins with its heading, in place of an older one of
    the same heading, or at the end."""
    heading = section.partition("\n")[0]
    older = re.compile(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if older.search(text):
        return older.sub(lambda _: section + "\n", text, count=1).rstrip() + "\n"
    return f"{text.rstrip() or '# Measured'}\n\n{section}"


def run_all(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Every chosen way for every chosen family; the most important way of all families first."""
    end = time.monotonic() + 60 * options.minutes
    for name in options.families:
        if options.tiny:
            family(name).build_tiny(folder / name, 0)
    rows: list[Row] = []
    for way in options.ways:
        for name in options.families:
            left = end - time.monotonic()
            print(f"{FAMILIES[name].title}, {way.name} ...", file=sys.stderr, flush=True)
            if left <= 0:
                found = [Row(name, way.name, remark="not measured, the time was over")]
            elif options.tiny:
                found = list(measure(way, name, folder, tiny=True))
            else:
                found = _prepared(way, name, folder, left)
            rows += found
    return compared(rows)


def _prepared(way: Way, name: str, folder: Path, left: float) -> list[Row]:
    """Write the model where it is not there yet, and measure."""
    try:
        if not (folder / name).exists():
            write_full_size(family(name).info, folder / name)
    except Exception as error:
        return [Row(name, way.name, remark=measures.in_words(error))]
    return in_own_process(way, name, folder, False, left)


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    """The command line. Ends the program where it makes no sense."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="tiny models on the processor")
    parser.add_argument("--write", action="store_true", help="write docs/measured.md")
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything together")
    parser.add_argument("--families", default=",".join(FAMILIES), help="by commas")
    parser.add_argument("--ways", default=",".join(w.name for w in WAYS), help="by commas")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.families = options.families.split(",")
    if unknown := set(options.families) - set(FAMILIES):
        parser.error(f"unknown family {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    names = options.ways.split(",")
    if unknown := set(names) - {way.name for way in WAYS}:
        parser.error(f"unknown way {', '.join(unknown)}")
    options.ways = [way for way in WAYS if way.name in names]
    if options.write and options.tiny:
        parser.error("--tiny measures nothing that is worth writing down")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table and, if asked, write it down."""
    options = options_of(arguments)
    if options.only:
        name, way = options.only
        chosen = next(one for one in WAYS if one.name == way)
        for row in measure(chosen, name, options.folder, options.tiny):
            print(json.dumps(asdict(row)), flush=True)
        return
    if not options.tiny and not torch.cuda.is_available():
        raise SystemExit("No GPU was found; --tiny tries everything on the processor.")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        data = {"LIMNER_DATA_DIR": str(Path(place) / "data"), "HF_HUB_OFFLINE": "1"}
        with mock.patch.dict(os.environ, data):
            rows = run_all(options, Path(place))
    text = report(rows, time.monotonic() - started)
    print(f"\n{text}", flush=True)
    if options.write:
        before = _REPORT.read_text(encoding="utf-8") if _REPORT.exists() else ""
        write_text(_REPORT, with_section(before, text))


if __name__ == "__main__":
    main()
