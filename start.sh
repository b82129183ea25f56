#!/bin/sh
# Set Limner up and start it. All the work is in packaging/bootstrap.py.
#   ./start.sh         open the window
#   ./start.sh demo    train the demo LoRA in the terminal
#   ./start.sh test    format, lint, types, tests
#   ./start.sh ...     anything else goes to the command line program
# LIMNER_PYTHON names the Python (3.11 to 3.13) to set up with, LIMNER_TORCH_INDEX another wheel
# index for torch ("plain" for none) than the one chosen from the graphics card.

# A link to this file (in ~/bin, say) works too.
self=$(readlink -f -- "$0" 2>/dev/null) || self=$0
here=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd -P) || exit 2
bootstrap=$here/packaging/bootstrap.py

# Set up already: its own Python starts fastest, and bootstrap.py checks the rest.
if [ -x "$here/.venv/bin/python" ] && [ -f "$here/.venv/limner-setup.json" ]; then
    exec "$here/.venv/bin/python" "$bootstrap" "$@"
fi

found=
for python in ${LIMNER_PYTHON:+"$LIMNER_PYTHON"} python3 python3.13 python3.12 python3.11 python; do
    version=$("$python" -c 'import sys; print("%d%02d" % sys.version_info[:2])' 2>/dev/null) || continue
    found=$python
    if [ "$version" -ge 311 ] && [ "$version" -le 313 ]; then
        exec "$python" "$bootstrap" "$@"
    fi
done

if [ -n "$found" ]; then
    echo "Limner needs Python 3.11, 3.12 or 3.13, and only another version was found; please install one of them (for instance: apt install python3.11 python3.11-venv) and start again." >&2
else
    echo "Limner needs Python 3.11, 3.12 or 3.13, and none was found; please install one of them (for instance: apt install python3 python3-venv) and start again." >&2
fi
exit 2
