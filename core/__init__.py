"""Everything that Limner does, without the window."""

from core.long_paths import allow_long_paths

# Here, because each of Limner's processes comes by: what one can read, all must.
allow_long_paths()
