"""The walls between the packages stand, and nothing grows out of sight."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.repository import ROOT, SOURCE

MODULE_LINES = 300
FUNCTION_LINES = 40

LONG_MODULES: dict[str, str] = {}
LONG_FUNCTIONS = {
    "cli/import_command.py::import_file": "the table of its options",
    "services/ingestion/api.py::IngestionApi.router": "the table of its calls",
    "services/ingestion/simulation/households.py::home": "the table of a home's appliances",
    "services/ingestion/simulation/households.py::lab": "the table of a laboratory's appliances",
}


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Yield the dotted name and the length of every function, its docstring and inner functions apart."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = list(functions(node, f"{prefix}{node.name}."))
            docstring = node.body[0] if ast.get_docstring(node) is not None else None
            spared = sum(lines for name, lines in inner if name.count(".") == prefix.count(".") + 1)
            if docstring is not None:
                spared += (docstring.end_lineno or 0) - docstring.lineno + 1
            yield f"{prefix}{node.name}", (node.end_lineno or 0) - node.lineno + 1 - spared
            yield from inner
        else:
            name = f"{prefix}{node.name}." if isinstance(node, ast.ClassDef) else prefix
            yield from functions(node, name)


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), path


def test_the_import_walls_stand() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]


def test_modules_stay_short_enough_to_read() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules()}
    too_long = {name: lines for name, lines in lengths.items() if lines > MODULE_LINES and name not in LONG_MODULES}
    assert not too_long, f"split them, or give LONG_MODULES a reason that a reader would accept: {too_long}"
    unneeded = [name for name in LONG_MODULES if lengths.get(name, 0) <= MODULE_LINES]
    assert not unneeded, f"take them out of LONG_MODULES: {unneeded}"


def test_functions_stay_short_enough_to_read() -> None:
    lengths = {
        f"{module}::{name}": lines
        for module, path in modules()
        if "/migrations/" not in module  # a migration is a table of columns
        for name, lines in functions(ast.parse(path.read_text(encoding="utf-8")))
    }
    too_long = {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES and name not in LONG_FUNCTIONS}
    assert not too_long, f"split them, or give LONG_FUNCTIONS a reason that a reader would accept: {too_long}"
    unneeded = [name for name in LONG_FUNCTIONS if lengths.get(name, 0) <= FUNCTION_LINES]
    assert not unneeded, f"take them out of LONG_FUNCTIONS: {unneeded}"


def test_a_wiring_is_a_page_that_a_newcomer_reads() -> None:
    for name, path in modules():
        if not name.startswith("wiring/"):
            continue
        for function, lines in functions(ast.parse(path.read_text(encoding="utf-8"))):
            assert lines <= 60, f"{name}::{function} has {lines} lines"
