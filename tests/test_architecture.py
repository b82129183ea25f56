"""The import rules that keep core headless and the window light."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "diffusers", "transformers", "accelerate", "peft", "bitsandbytes")


def imported_modules(tree: ast.AST, package: str) -> list[tuple[int, str]]:
    """Line and full name of every import in a module of `package`, also inside functions."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, base]).rstrip(".")
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            name = node.args[0].value
            if called in ("importlib.import_module", "import_module", "__import__"):
                found.append((node.lineno, str(name)))
    return found


def forbidden_imports(folder: str, banned: tuple[str, ...]) -> list[str]:
    """`file:line imports name` for every import below `folder` that is not allowed there."""
    problems = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        relative = path.relative_to(ROOT)
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        for line, name in imported_modules(tree, ".".join(relative.parent.parts)):
            if name.split(".")[0] in banned:
                problems.append(f"{relative}:{line} imports {name}")
    return problems


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `statement`."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_core_never_imports_qt_or_the_window():
    assert forbidden_imports("core", ("PySide6", "shiboken6", "pyqtgraph", "app")) == []


def test_the_window_never_imports_heavy_libraries():
    assert forbidden_imports("app", HEAVY) == []


def test_the_walk_sees_every_kind_of_import():
    source = """
import app.window
from app import theme
from ..app2 import thing
from . import near
def late():
    import PySide6.QtCore
    importlib.import_module("app.state")
"""
    names = {name for _line, name in imported_modules(ast.parse(source), "core.config")}
    expected = {"app.window", "app.theme", "core.app2.thing", "core.config.near"}
    assert names == expected | {"PySide6.QtCore", "app.state"}


def test_the_entry_point_is_light():
    loaded = modules_after("import app.__main__, core.paths")
    assert loaded.isdisjoint((*HEAVY, "PySide6", "numpy", "pydantic"))


def test_the_command_line_starts_light():
    assert modules_after("import core.cli").isdisjoint((*HEAVY, "PySide6", "numpy"))


def test_the_window_starts_light():
    loaded = modules_after("import app.window")
    assert "PySide6" in loaded
    assert loaded.isdisjoint((*HEAVY, "numpy", "pyqtgraph"))


# Calls that Windows refuses while another program has the file open; core/files.py tries again.
REFUSED = {
    "os.rename",
    "os.replace",
    "os.unlink",
    "os.remove",
    "shutil.rmtree",
    "shutil.move",
    "tempfile.mkstemp",
    "tempfile.NamedTemporaryFile",
    "tempfile.mkdtemp",
}


def impatient_calls(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and text of each call that renames, replaces or removes files by itself."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        called, given = ast.unparse(node.func), len(node.args) + len(node.keywords)
        of_path = node.func.attr in ("unlink", "rename") or (
            # Texts and dataclasses have a `replace` too, with two texts or with names.
            node.func.attr == "replace" and len(node.args) == 1 and given == 1
        )
        if called in REFUSED or (of_path and not called.startswith("files.")):
            found.append((node.lineno, called))
    return found


def test_files_are_renamed_and_removed_in_one_place():
    found = []
    for folder in ("core", "app"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = path.relative_to(ROOT).as_posix()
            if relative == "core/files.py":
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            found += [f"{relative}:{line} {call}" for line, call in impatient_calls(tree)]
    assert found == []
