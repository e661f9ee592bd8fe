"""No module of a client imports one that imports it, types included."""

import ast
import graphlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parents[2] / "clients"
PACKAGE = "allotment_client"
TYPESCRIPT = re.compile(r'^(?:import|export)\b[^;]*?from "\./(\w+)\.js"', re.MULTILINE)


def imported_by_typescript(file: Path) -> set[str]:
    return set(TYPESCRIPT.findall(file.read_text()))


def imported_by_python(file: Path) -> set[str]:
    return set(_names(ast.parse(file.read_text())))


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            package, _, module = node.module.partition(".")
            if package == PACKAGE:
                yield from [module] if module else [alias.name for alias in node.names]


@pytest.mark.parametrize(
    ("folder", "pattern", "imported"),
    [
        (CLIENTS / "python" / "src" / PACKAGE, "*.py", imported_by_python),
        (CLIENTS / "typescript" / "src", "*.ts", imported_by_typescript),
    ],
    ids=["python", "typescript"],
)
def test_modules_are_in_floors(
    folder: Path, pattern: str, imported: Callable[[Path], set[str]]
) -> None:
    graph = {file.stem: imported(file) for file in folder.glob(pattern)}

    assert sum(map(len, graph.values())) > len(graph)
    graphlib.TopologicalSorter(graph).prepare()  # Raises CycleError.
