"""Reads answers: JSON to frozen dataclasses, by their type hints.

Fields that this version does not know are passed over: a newer service may send more.
"""

import types
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
Reader = Callable[[Any], T]


def reader(kind: type[T]) -> Reader[T]:
    """Return what reads a value of a type. It raises KeyError, TypeError or ValueError."""
    found: Reader[T] = _reader(kind)  # type: ignore[arg-type]
    return found


@cache
def _reader(kind: Any) -> Reader[Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is datetime:
        return datetime.fromisoformat
    if origin is list:
        item = _reader(arguments[0])
        return lambda value: [item(one) for one in value]
    if origin is dict:
        entry = _reader(arguments[1])
        return lambda value: {name: entry(one) for name, one in value.items()}
    if origin in (Union, types.UnionType):
        return _one_of(arguments)
    return _object(kind) if is_dataclass(kind) else _same


def _same(value: Any) -> Any:
    return value


def _one_of(kinds: tuple[Any, ...]) -> Reader[Any]:
    present = [kind for kind in kinds if kind is not type(None)]
    if len(present) == 1:
        read = _reader(present[0])
        return lambda value: None if value is None else read(value)
    # Sources: each names its kind, which is the default of its first field.
    by_kind = {fields(kind)[0].default: _reader(kind) for kind in present}
    return lambda value: by_kind[value["source"]](value)


def _object(kind: Any) -> Reader[Any]:
    hints = get_type_hints(kind)
    known = [(one.name, one.default, _reader(hints[one.name])) for one in fields(kind)]

    def read(value: Any) -> Any:
        found = {
            name: of(value[name])
            for name, default, of in known
            if default is MISSING or name in value
        }
        return kind(**found)

    return read
