"""A captioning worker with a scripted model: `python models.py NAME`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from core.captioning import worker
from core.captioning.options import CaptionOptions


class Scripted:
    """Describes pictures as `picture 0`, `picture 1` and so on, with a fault by name."""

    batch = 0
    provider = "cpu"

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def prepare(self, image: Any) -> Any:
        # The pictures are 20, 21, 22 ... pixels wide.
        return image.width - 20

    def describe(self, prepared: Sequence[Any]) -> list[str]:
        self.count += 1
        match self.name:
            case "slow" if self.count > 1:
                time.sleep(0.3)
            case "killed" if self.count > 1:
                os.kill(os.getpid(), signal.SIGKILL)
            case "chatty":
                print("progress: 100 %\n{}", flush=True)
                os.write(1, b'{"type": "captioned", "index": 0, "text": "from a library"}\n')
            case "third_fails" if 2 in prepared:
                raise ValueError("no")
            case "always_fails":
                raise RuntimeError("no such operator")
            case "small_memory" if len(prepared) > 1:
                raise MemoryError
        return [f"picture {number}" for number in prepared]


def load(options: CaptionOptions) -> Scripted:
    name = sys.argv[1]
    if name in ("hang", "beating"):
        time.sleep(60)
    if name == "crash":
        print("a library says goodbye", flush=True)
        os._exit(3)
    return Scripted(name)


if __name__ == "__main__":
    if sys.argv[1] == "beating":
        worker.HEARTBEAT_SECONDS = 0.2
    code = worker.main(load)
    os._exit(code)
