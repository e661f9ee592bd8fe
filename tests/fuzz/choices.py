"""Turns bytes into choices: values of every BSON type, and edits of documents.

The same bytes are the same choices, with or without Atheris: what it finds can be tried again
anywhere. Bytes that have run out choose the first of everything.
"""

import struct
from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import bson
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex
from bson import Timestamp as Stamp
from bson.codec_options import DatetimeConversion
from bson.dbref import DBRef

T = TypeVar("T")
EDITS_MAX = 4
LONG = 200_000  # Deeper than any reader goes, longer than any number's digits.
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Choices:
    """Reads choices from bytes, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def are_spent(self) -> bool:
        return self._at >= len(self._data)

    def number(self, below: int) -> int:
        """Return a number from 0 to `below` - 1."""
        return int.from_bytes(self.take((below.bit_length() + 7) // 8), "little") % below

    def take(self, length: int) -> bytes:
        found = self._data[self._at : self._at + length]
        self._at += length
        return found.ljust(length, b"\0")

    def rest(self) -> bytes:
        found, self._at = self._data[self._at :], len(self._data)
        return found

    def text(self) -> str:
        return self.take(self.number(40)).decode("utf-8", "replace").replace("\0", "")

    def of(self, choices: Sequence[T]) -> T:
        return choices[self.number(len(choices))]

    def value(self, depth: int = 2) -> Any:
        """Return a value as BSON decodes it."""
        if depth and self.number(4) == 0:
            parts = range(self.number(3))
            if self.number(2):
                return [self.value(depth - 1) for _ in parts]
            return {self.of(NAMES): self.value(depth - 1) for _ in parts}
        return self.of(MAKERS)(self)


NAMES = (
    *"abc",
    "$oid",
    "$date",
    "$numberLong",
    "$binary",
    "$ref",
    "$id",
    "hold_id",
    "kept",
    "days",
)
ODD_TEXTS = (
    *("", "0", "true", "false", "null", "active", "UTC", "America", "Europe/Berlin", "ada 1"),
    *("2026-03-02", "9999-12-31", "0001-01-01", "nan", "1e999", "\x7f", "§", "ﷺ", "\U0001f4b3"),
    *("6b0a96d692994d6854a54f4a", "6B0A96D692994D6854A54F4A", '"quoted"', '{"$oid": "x"}'),
    *('{"$numberLong": "5"}', '{"$numberDecimal": "x"}', '{"$date": {"$numberLong": "1"}}'),
    *("0b9f1f0e-7a52-4c4b-9d0e-0a4f0f3b7f11", "[" * LONG, '{"a":' * LONG, "9" * LONG),
    "ada " + "1" * LONG,
)
NUMBERS = (0, 1, -1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 7)
DECIMALS = ("0", "-0", "1.5", "NaN", "sNaN", "Infinity", "1E+6144", "1E-6176", "9007199254740993")
FLOATS = (0.0, -0.0, 0.5, 1e308, float("nan"), float("inf"), float("-inf"), 2.0**53)
INSTANTS = (
    *(NOON, NOON - timedelta(days=3), NOON + timedelta(days=30)),
    *(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC), DatetimeMS(2**62)),
)
MAKERS: Sequence[Callable[[Choices], Any]] = (
    lambda c: None,
    lambda c: bool(c.number(2)),
    lambda c: c.of(NUMBERS),
    lambda c: Int64(c.number(2**63)),
    lambda c: c.number(100),
    lambda c: c.of(FLOATS),
    lambda c: struct.unpack("<d", c.take(8))[0],
    lambda c: c.of(ODD_TEXTS),
    lambda c: c.text(),
    lambda c: c.of(INSTANTS),
    lambda c: NOON + timedelta(milliseconds=c.number(10**12)),
    lambda c: ObjectId(c.take(12)),
    lambda c: Decimal128(c.of(DECIMALS)),
    lambda c: Decimal128.from_bid(c.take(16)),
    lambda c: Binary(c.take(c.number(20)), c.number(8)),
    lambda c: c.take(c.number(20)),
    lambda c: Regex(c.text(), c.number(64)),
    lambda c: Code(c.text()),
    lambda c: Stamp(c.number(2**32), c.number(2**32)),
    lambda c: DBRef(c.text(), c.number(9)),
    lambda c: c.of((MinKey(), MaxKey())),
)


OPTIONS: bson.CodecOptions[dict[str, Any]] = bson.CodecOptions(
    tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def as_read(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document as the database gives it back."""
    return bson.decode(bson.encode(document), OPTIONS)


def edited(document: dict[str, Any], choices: Choices) -> dict[str, Any]:
    """Return a document as somebody may leave it who edits it by hand."""
    changed = deepcopy(document)
    for _ in range(EDITS_MAX):
        if choices.are_spent:
            break
        _edit(changed, choices)
    return as_read(changed)


def _edit(place: Any, choices: Choices) -> None:
    """Change, add or remove one value, here or somewhere within."""
    names = list(place) if isinstance(place, dict) else list(range(len(place)))
    if not names:
        return
    name = choices.of(names)
    if isinstance(place[name], dict | list) and choices.number(3):
        _edit(place[name], choices)
    elif isinstance(place, dict) and choices.number(5) == 0:
        del place[name]
    elif choices.number(8) == 0:
        place[name] = [place[name], place[name]]
    else:
        place[name] = choices.value()
