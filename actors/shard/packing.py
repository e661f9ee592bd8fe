"""An account in few bytes: how RAM keeps those that were not used for a while.

MessagePack, without the names of fields. What is packed never leaves its process, so its form may change
with any version: classes are numbered as the annotations of `Account` name them.
"""

import pickle
from collections.abc import Callable
from dataclasses import is_dataclass
from datetime import date
from enum import Enum
from operator import attrgetter
from typing import Any, get_args, get_type_hints

import msgpack

from domain.account import Account
from domain.copies import access_to


def _classes(of: Any, found: list[type[Any]]) -> list[type[Any]]:
    """Add to `found` the classes of all that a value with this annotation may hold."""
    if isinstance(of, type) and (is_dataclass(of) or issubclass(of, Enum)) and of not in found:
        found.append(of)
        for hint in get_type_hints(of).values() if is_dataclass(of) else ():
            _classes(hint, found)
    for argument in get_args(of):
        _classes(argument, found)
    return found


Maker = Callable[[list[Any]], Any]
"""Makes a value of its parts; its first part is its code."""

Parts = Callable[[Any], list[Any]]


def _record(kind: type[Any], code: int) -> tuple[Parts, Maker]:
    """Return how a dataclass is taken apart and made."""
    access = access_to(kind)  # type: ignore[arg-type]  # Classes are hashable, which mypy doubts.

    def parts(value: Any) -> list[Any]:
        return [code, *access.read(value)[:-1]]

    def make(told: list[Any]) -> Any:
        made = object.__new__(kind)
        for set_field, part in zip(access.setters, told[1:], strict=True):
            set_field(made, part)
        return made

    return parts, make


def _sequence(kind: type[Any], code: int) -> tuple[Parts, Maker]:
    return lambda value: [code, *value], lambda told: kind(told[1:])


def _single(
    code: int, part: Callable[[Any], Any], make: Callable[[Any], Any]
) -> tuple[Parts, Maker]:
    """Return how a value is taken apart and made that comes to one part."""
    return lambda value: [code, part(value)], lambda told: make(told[1])


def _codec(kind: type[Any], code: int) -> tuple[Parts, Maker]:
    """Return how the values of a class are taken apart and made."""
    if kind in (tuple, frozenset):
        return _sequence(kind, code)
    if kind is date:
        return _single(code, date.toordinal, date.fromordinal)
    if issubclass(kind, Enum):
        return _single(code, attrgetter("value"), kind)
    return _record(kind, code)


_CLASSES = [tuple, frozenset, date, *_classes(Account, [])]
_CODECS = [_codec(kind, code) for code, kind in enumerate(_CLASSES)]
_PARTS = {kind: parts for kind, (parts, _) in zip(_CLASSES, _CODECS, strict=True)}
_MAKERS = [make for _, make in _CODECS]


# Documents of other programs bring in what no annotation names: a text of another class, a sum that is longer
# than 64 bits.
_PICKLED = len(_CODECS)


def _parts_of(value: Any) -> list[Any]:
    parts = _PARTS.get(value.__class__)
    return parts(value) if parts else [_PICKLED, pickle.dumps(value)]


def _made(told: list[Any]) -> Any:
    if told[0] == _PICKLED:
        return pickle.loads(told[1])  # noqa: S301 - it never left this process
    return _MAKERS[told[0]](told)


_packer = msgpack.Packer(default=_parts_of, strict_types=True, datetime=True)


def packed(account: Account) -> bytes:
    """Return an account in few bytes. Its instants are in UTC, as all of an account are."""
    return _packer.pack(account)  # type: ignore[no-any-return]


def unpacked(told: bytes) -> Account:
    """Return an account that was packed."""
    account: Account = msgpack.unpackb(told, list_hook=_made, timestamp=3)
    return account
