"""`limner` whose captioning workers have a scripted model: `python cli_scripted.py MODEL ...`."""

import sys
from pathlib import Path

from core.captioning import client
from core.cli import main

MODELS = Path(__file__).with_name("models.py")

if __name__ == "__main__":
    client.usual_command = lambda: [sys.executable, str(MODELS), sys.argv[1]]
    sys.exit(main(sys.argv[2:]))
