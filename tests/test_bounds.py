"""The table of bounds is true: every name has its value in the code, and every test is there."""

import ast
import importlib
import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from actors.settings import Settings

ROOT = Path(__file__).parents[1]
ROW = re.compile(
    r"^\| (?P<what>[^|]+) \| `(?P<bound>[^`]+)` \| (?P<value>[^|]+) \| [^|]+ \| `(?P<test>[^`]+)` \|$"
)
UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "s": 1, "days": 1}
DAY_SECONDS = 86_400
NAME = re.compile(r"^([A-Z_]+_(?:MAX|AT_ONCE)) = ", re.MULTILINE)
COMPLETE = (
    *("actors/edge/**/*.py", "domain/api/*.py", "actors/shard/lists.py"),
    *("actors/auth/limits.py", "actors/auth/key_desk.py", "actors/mongo/accounts/reads.py"),
)
"""Where every bound has a row: what callers send is read here, and lists are written out."""
NO_BOUNDS = {"INT64_MAX", "TIMESTAMP_MAX", "USER_ID_LENGTH_MAX"}
"""Named like bounds, and what values are: nothing grows up to them."""
OF_LISTS = {"actors.shard.lists", "actors.mongo.accounts.reads", "actors.remote.lists"}
"""Where lists are read: `ListsActor` alone makes a `Lists`."""
READERS = {
    "Lists",
    "open_holds",
    "usage_page",
    "usage_sums",
    "history",
    "packs_of",
    "subscription_page",
}


class Row(NamedTuple):
    what: str
    bound: str
    value: str
    test: str


ROWS = [
    Row(**found.groupdict())
    for found in map(ROW.match, (ROOT / "docs" / "bounds.md").read_text().splitlines())
    if found
]


def told(value: str) -> float:
    number, _, unit = value.strip().partition(" ")
    return float(number.replace(",", "")) * UNITS[unit]


def in_code(bound: str) -> set[float]:
    """Return the value of a bound: a duration in days and in seconds."""
    if bound.startswith("Settings."):
        default = Settings.model_fields[bound.removeprefix("Settings.")].default
        return {float(default)}
    module, _, name = bound.partition(":")
    value = getattr(importlib.import_module(module), name)
    if isinstance(value, timedelta):
        return {value.days}
    return {float(value), value / DAY_SECONDS}


def test_the_table_is_read() -> None:
    lines = (ROOT / "docs" / "bounds.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|") and "`" in line]

    assert len(ROWS) == len(rows)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_a_bound_has_the_value_that_the_table_says(row: Row) -> None:
    assert told(row.value) in in_code(row.bound)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_the_test_that_holds_a_bound_is_there(row: Row) -> None:
    file, _, name = row.test.partition("::")
    text = (ROOT / file).read_text()

    assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE) if name else "def test" in text


def test_every_bound_of_what_callers_send_and_lists_has_a_row() -> None:
    rows = {row.bound for row in ROWS}
    missing = []
    for path in sorted(path for pattern in COMPLETE for path in ROOT.glob(pattern)):
        module = path.relative_to(ROOT).as_posix().removesuffix(".py").replace("/", ".")
        names = set(NAME.findall(path.read_text())) - NO_BOUNDS
        missing += [f"{module}:{name}" for name in names if f"{module}:{name}" not in rows]

    assert missing == []


@cache
def loaded_with(module: str) -> frozenset[str]:
    """Return the modules of ours that importing one loads."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = ROOT / (name.replace(".", "/") + ".py")
        if name in seen or not file.exists():
            continue
        seen.add(name)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [each.name for each in node.names]
    return frozenset(seen)


def called_in(module: str) -> set[str]:
    """Return the names that a module calls."""
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    passed = [a for node in ast.walk(tree) if isinstance(node, ast.Call) for a in node.args]
    return {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in (*called, *passed)
        if isinstance(node, ast.Attribute | ast.Name)
    }


def test_nothing_that_runs_in_a_shard_reads_a_list() -> None:
    """What is no decision has neither a shard's process nor a thread of it.

    A shard loads the modules, since it hands on what an older router asks it; it calls none of their
    readers. `subscriptions_of` is what a change of a subscription answers with.
    """
    in_shards = loaded_with("actors.remote.shard")
    readers = {
        module for module in in_shards if module not in OF_LISTS and called_in(module) & READERS
    }

    assert readers == set()
    assert "Lists" in called_in("actors.remote.lists")
