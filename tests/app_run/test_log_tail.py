"""The tail of log.txt."""

from __future__ import annotations

from pathlib import Path

from app.run_panel.log_tail import CHUNK, LogTail


def test_whole_lines_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    tail = LogTail(path, interval=0)
    assert tail.read() == []
    path.write_bytes("eins\nzwei mit ü".encode())
    assert tail.read() == ["eins"]
    with open(path, "ab") as file:
        file.write(b"ber\n\ndrei")
    assert tail.read() == ["zwei mit über", ""]
    assert tail.read() == []
    assert tail.read(force=True) == ["drei"]


def test_a_progress_bar_leaves_its_last_state(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"10%\r50%\r100%\nwindows line\r\n")
    assert LogTail(path, interval=0).read() == ["100%", "windows line"]


def test_a_flood_is_cut_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("".join(f"line {n}\n" for n in range(50_000)))
    lines = LogTail(path, interval=0).read()
    assert lines[-1] == "line 49999"
    assert sum(len(line) + 1 for line in lines) <= CHUNK
    assert all(line.startswith("line ") for line in lines)


def test_a_new_file_of_the_same_name_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("a long first log\n")
    tail = LogTail(path, interval=0)
    tail.read()
    path.write_text("new\n")
    assert tail.read() == ["new"]


def test_bytes_that_are_no_text_do_not_stop_it(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"\xff\xfe\x00\nnext\n")
    assert LogTail(path, interval=0).read()[-1] == "next"
