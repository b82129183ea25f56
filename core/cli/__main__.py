"""`python -m core.cli`, for a checkout without an installed `limner`."""

import sys

from core.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
