"""What a terminal or a log would obey."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.printable import PrintableFormatter, printable


@given(st.text())
def test_json_reads_back_what_was_escaped(text: str) -> None:
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text


@given(st.text(st.characters(categories=("Cc", "Cf", "Zl", "Zp"))))
def test_no_control_character_is_left(text: str) -> None:
    left = set(printable(text, one_line=True))
    assert left.isdisjoint(map(chr, [*range(9), *range(10, 32), *range(127, 160), 0x202E, 0x2028]))


def test_letters_of_all_scripts_and_joined_emoji_stay() -> None:
    for text in ("été", "猫 שלום مرحبا", "👩‍🎨", "a\tb"):
        assert printable(text) == text


def test_log_lines_hold_no_control_characters() -> None:
    record = logging.LogRecord("core", logging.INFO, "", 0, "read %s", ("\x1b[2J.png",), None)
    assert PrintableFormatter("%(message)s").format(record) == "read \\u001b[2J.png"


def test_what_c_libraries_print_goes_into_a_log_and_what_limner_says_to_stderr(
    tmp_path: Path,
) -> None:
    program = (
        "import os, sys; from core.printable import keep_libraries_off_stderr as keep; keep();"
        "os.write(2, b'tempfile.tif: Using code not yet in table.');"
        "print('warning: \u00e9.tif cannot be used', file=sys.stderr)"
    )
    environment = {**os.environ, "LIMNER_DATA_DIR": str(tmp_path), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.stderr.splitlines() == ["warning: \u00e9.tif cannot be used"]
    assert "not yet in table" in (tmp_path / "libraries.log").read_text()
