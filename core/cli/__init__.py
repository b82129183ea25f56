"""The command line program `limner`: commands.py names the commands, the rest do the work."""

from core.cli.commands import main

__all__ = ["main"]
