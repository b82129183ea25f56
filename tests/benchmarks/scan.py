"""Planning a large folder against the bare reading of its headers, and the memory it takes.

    python -m tests.benchmarks.scan [--pictures 10000] [--rounds 5] [--many 100000]

Bare: os.scandir of the folder and Pillow's opening of each picture's header, in one thread, no
captions read. Ours: `make_plan`, which scans, reads headers, orientation and caption files, places
every picture into its bucket and counts the steps. Rounds alternate after one that warms the disk's
cache. Pictures are hard links to a few dozen files of several formats and sizes; every caption is a
file of its own. Memory: the peak resident size of a process of its own that plans `--many`.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from core.config.job import Job
from core.data.plan import make_plan

# No WebP: Pillow reads such files whole to open them, which would flatter our own header reader.
_FORMATS = (("png", {}), ("jpg", {"quality": 90}))
_SIZES = ((512, 512), (768, 512), (512, 768), (1024, 1024), (640, 480))
_MEMORY = """
import sys, resource
from pathlib import Path
from tests.benchmarks.scan import plan_of
plan = plan_of(Path(sys.argv[1]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(plan.items), peak * (1 if sys.platform == "darwin" else 1024))
"""


def plan_of(folder: Path) -> object:
    """The plan of a job with this one folder."""
    job = Job.model_validate({"concepts": [{"path": str(folder), "name": "many"}]})
    return make_plan(job, bucket_step=64)


def fill(folder: Path, count: int) -> None:
    """`count` pictures with captions of about twenty words."""
    sources = []
    hidden = folder / ".sources"
    hidden.mkdir(parents=True)
    for number in range(40):
        ending, options = _FORMATS[number % len(_FORMATS)]
        image = Image.effect_noise(_SIZES[number % len(_SIZES)], 40 + number).convert("RGB")
        path = hidden / f"{number}.{ending}"
        image.save(path, **options)
        sources.append(path)
    for number in range(count):
        source = sources[number % len(sources)]
        picture = folder / f"picture {number:06d}{source.suffix}"
        os.link(source, picture)
        words = " ".join(f"word{(number * 7 + n * n) % 997}" for n in range(18))
        picture.with_suffix(".txt").write_text(f"subject {number}, {words}\n", encoding="utf-8")


def bare(folder: Path) -> int:
    """Names from the folder and the size in each header; returns the number of pictures."""
    found = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((".png", ".jpg")):
                with Image.open(entry.path) as image:
                    found += image.size[0] > 0
    return found


def timed(work: object, folder: Path) -> float:
    gc.collect()
    started = time.perf_counter()
    work(folder)  # type: ignore[operator]
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["LIMNER_DATA_DIR"] = str(Path(temporary) / "data")
        folder = Path(temporary) / "pictures"
        fill(folder, options.pictures)
        ours, reference = [], []
        for _round in range(options.rounds + 1):
            reference.append(timed(bare, folder))
            ours.append(timed(plan_of, folder))
        ratios = [a / b for a, b in zip(ours[1:], reference[1:], strict=True)]
        print(
            f"planning {options.pictures} pictures with captions: "
            f"{statistics.median(ours[1:]):.2f} s, bare {statistics.median(reference[1:]):.2f} s; "
            f"median of paired ratios {statistics.median(ratios):.2f} (goal: at most 3)"
        )
        if options.many:
            many = Path(temporary) / "many"
            fill(many, options.many)
            done = subprocess.run(
                [sys.executable, "-c", _MEMORY, str(many)],
                capture_output=True,
                text=True,
                check=True,
            )
            count, peak = (int(part) for part in done.stdout.split())
            print(
                f"planning {count} pictures: peak {peak / 1e6:.0f} MB "
                f"of resident memory (goal: under 300)"
            )


if __name__ == "__main__":
    main()
