"""Ids of documents as texts and back: the type that an id is stored with is never lost.

Accounts, the journal and cursors name a subscription by the spelling of its `_id`:

| stored as | spelling |
| --- | --- |
| ObjectId | its 24 hex digits |
| text | itself; as JSON, in quotes, where it would read as one of the other spellings |
| anything else | MongoDB's extended JSON, canonical |

So two ids have one spelling only where they are one id, and what is written under a spelling has
the id's own type. Ids of users are another matter: 24 hex digits are an ObjectId, all else is text.
"""

import math
from collections.abc import Hashable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any
from uuid import UUID

import bson
from bson import Binary, Decimal128, Int64, ObjectId, json_util
from bson.binary import UUID_SUBTYPE
from bson.errors import BSONError
from bson.json_util import JSONMode, JSONOptions

from domain.ids import SPELLING_LENGTH_MAX, quoted, reads_otherwise, shown_id
from domain.values import UserId, is_object_id, parse_user_id

INT64_MAX = 2**63 - 1
INT64_DIGITS = 19
JSON = JSONOptions(json_mode=JSONMode.CANONICAL, tz_aware=True, tzinfo=UTC)
RANGES: dict[str, Any] = {
    "number": -math.inf,
    "text": "",
    "object": {},
    "binary": Binary(b""),
    "object_id": ObjectId("0" * 24),
    "bool": False,
    "date": datetime(1, 1, 1, tzinfo=UTC),
}
"""The types of ids, in MongoDB's order, each with the least of its ids.

A comparison finds ids of its own type only.
"""
_ENDS: Mapping[str, Any] = {
    "number": math.inf,
    "text": "\U0010ffff" * SPELLING_LENGTH_MAX,
    "binary": Binary(b"\xff" * SPELLING_LENGTH_MAX, 255),
    "bool": True,
}
"""No id of a type that has a spelling is greater. The other types have no such end."""
_NO_SPELLING = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    *(BSONError, RecursionError),
)
"""What extended JSON raises for a text that only looks like it."""
_RANGE_OF: Mapping[type, str] = {
    bool: "bool",
    int: "number",
    Int64: "number",
    float: "number",
    Decimal128: "number",
    str: "text",
    dict: "object",
    bytes: "binary",
    Binary: "binary",
    ObjectId: "object_id",
    datetime: "date",
}


def stored_id(text: str) -> ObjectId | str:
    """Return the id of a user or of what we made: 24 hex digits are the ObjectId they spell."""
    return _object_id(text) if is_object_id(text) else text


@lru_cache(maxsize=8192)  # An entry and its views name their user and subscription several times.
def _object_id(digits: str) -> ObjectId:
    return ObjectId(digits)


def range_of(value: object) -> str | None:
    """Return under which of RANGES an id is; None: it is not kept."""
    kind = _RANGE_OF.get(type(value))
    return None if kind == "number" and _number(value) is None else kind


def ranges_after(last: object | None) -> Iterator[dict[str, Any]]:
    """Yield conditions on `_id` that find the ids after one, type by type; None: all of them."""
    reached = last is None or range_of(last) is None
    for name, least in RANGES.items():
        if not reached and name == range_of(last):
            reached = True
            yield {"$gt": last}
        elif reached:
            yield {"$gte": least}


def with_end(ids: Mapping[str, Any]) -> dict[str, Any]:
    """Return one of `ranges_after` that ends where the ids of its type do, as far as they are kept.

    Without an end, the embedded server reads the index to its own.
    """
    (least,) = ids.values()
    end = _ENDS.get(_RANGE_OF.get(type(least), ""))
    return dict(ids) if end is None else {**ids, "$lte": end}


def ranges_before(last: object) -> Iterator[dict[str, Any]]:
    """Yield conditions on `_id` that find the ids before one, from the last type to the first."""
    kind = _RANGE_OF.get(type(last))
    reached = False
    for name, least in reversed(RANGES.items()):
        if reached:
            yield {"$gte": least}
        elif name == kind:
            reached = True
            yield {"$lt": last}


def has_range(value: object) -> bool:
    """Say whether an id is of one of the types that are paged through."""
    return type(value) in _RANGE_OF


def is_reference(value: object) -> bool:
    """Say whether a value may be the id of a subscription."""
    return range_of(value) is not None


def spelled(value: object) -> str | None:
    """Return the spelling of an id; None: one of its type or length is not kept."""
    if isinstance(value, ObjectId):
        return str(value)
    if type(value) is str:  # Not every str is a text: BSON's code is one, too.
        text = quoted(value) if reads_otherwise(value) else value
    elif range_of(value) is None:
        return None
    else:
        text = json_util.dumps(value, json_options=JSON)
        if as_stored(text) != value:
            return None
    return text if len(text) <= SPELLING_LENGTH_MAX else None


def as_stored(spelling: str) -> Any:
    """Return the id that a spelling names, in its own type."""
    if is_object_id(spelling):
        return _object_id(spelling)
    if not reads_otherwise(spelling):
        return spelling
    try:
        found = json_util.loads(spelling, json_options=JSON)
        bson.encode({"_id": found})
    except _NO_SPELLING:  # An entry of an older version names a text as it stands.
        return spelling
    return spelling if range_of(found) is None else found


def name_of(value: object) -> str:
    """Return the spelling of any id, be it one that is not kept: it only names a document."""
    return spelled(value) or str(value)


def shown(value: object) -> str:
    """Return an id as clients are shown it."""
    return shown_id(name_of(value))


def key_of(value: object) -> Hashable:
    """Return what is equal for ids that MongoDB finds by each other: 5 and 5.0, never 5 and "5"."""
    if isinstance(value, ObjectId) or type(value) is str:
        return value
    number = None if isinstance(value, bool) else _number(value)
    return ("id", name_of(value)) if number is None else ("number", number)


def others(value: object) -> list[Any]:
    """Return the ids of other types in which a program may have stored a reference to an id."""
    if type(value) is str:
        return _read_from(value)
    plain = shown(value)
    return [plain] if isinstance(value, ObjectId) or plain != spelled(value) else []


def ids_shown_as(text: str) -> list[Any]:
    """Return the ids that clients are shown as this text, the likeliest first."""
    ids = [as_stored(text), text, *_read_from(text)]
    return list({key_of(i): i for i in ids}.values())


def _read_from(text: str) -> list[Any]:
    """Return the ids of other types that a text may stand for."""
    if is_object_id(text):
        return [ObjectId(text)]
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) < INT64_DIGITS:
        return [Int64(text)]
    try:
        return [Binary(UUID(text).bytes, UUID_SUBTYPE)]
    except ValueError:
        return []


def read_user_id(value: object) -> UserId:
    """Return the user that a document names. ValueError: none that accounts are found by."""
    if value is None:
        raise ValueError("it has no user_id")
    if not isinstance(value, ObjectId) and type(value) is not str:
        raise ValueError(f"its user_id is a {type(value).__name__}")
    user_id = parse_user_id(str(value))
    if isinstance(value, str) and value != user_id:
        raise ValueError("its user_id is a text of 24 hex digits, some in upper case")
    return user_id


def user_ids(user_id: UserId) -> list[ObjectId | str]:
    """Return what documents may name a user by: the id as it is stored, and its text."""
    return [ObjectId(user_id), user_id] if is_object_id(user_id) else [user_id]


def _number(value: object) -> Fraction | None:
    """Return a finite number; None of anything else."""
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    if not isinstance(value, int | float | Decimal):
        return None
    try:
        return Fraction(value)
    except (ValueError, OverflowError):  # It is not finite.
        return None
