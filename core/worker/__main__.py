"""`python -m core.worker RUN_FOLDER`: see core.worker.main."""

import os
import sys

from core.worker.main import main

if __name__ == "__main__":
    code = main()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    # Everything is written; libraries that hang or crash while the interpreter is taken down
    # would only turn a finished run into a failed one.
    os._exit(code)
