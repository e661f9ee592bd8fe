"""What a later version has changed of something golden, and how golden files are read and written."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from bson import json_util

FOLDER = Path(__file__).parent
TYPED = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=True, tzinfo=UTC)


def differences(golden: Any, found: Any, place: str = "") -> Iterator[str]:
    """Yield where something differs from the golden one. Objects may have more fields than it."""
    match golden, found:
        case dict(), dict():
            for name, value in golden.items():
                if name in found:
                    yield from differences(value, found[name], f"{place}.{name}")
                else:
                    yield f"{place}.{name} is missing"
        case list(), list() if len(golden) == len(found):
            for number, (one, other) in enumerate(zip(golden, found, strict=True)):
                yield from differences(one, other, f"{place}[{number}]")
        case _ if type(golden) is not type(found) or golden != found:
            yield f"{place}: {golden!r} became {found!r}"


def read_golden(name: str) -> list[dict[str, Any]]:
    """Return a golden file's objects."""
    found: list[dict[str, Any]] = json.loads((FOLDER / name).read_text())
    return found


def write_golden(name: str, objects: Sequence[dict[str, Any]]) -> None:
    """Write a golden file, a line for each object."""
    _write_lines(name, (json.dumps(one, ensure_ascii=False) for one in objects))


def read_typed(name: str) -> list[dict[str, Any]]:
    """Return a golden file's documents, with MongoDB's types."""
    found: list[dict[str, Any]] = json_util.loads((FOLDER / name).read_text(), json_options=TYPED)
    return found


def write_typed(name: str, documents: Sequence[dict[str, Any]]) -> None:
    """Write documents with MongoDB's types, a line for each."""
    _write_lines(name, (json_util.dumps(one, json_options=TYPED) for one in documents))


def _write_lines(name: str, lines: Iterable[str]) -> None:
    (FOLDER / name).write_text("[\n" + ",\n".join(lines) + "\n]\n")
