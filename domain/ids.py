"""How accounts spell the ids of subscriptions, and how clients are shown them.

A spelling tells the type that the id is stored with (`actors/mongo/ids.py`), so that what is
written under it has that type; clients are shown the plain id.
"""

import json
from base64 import b64decode
from binascii import Error
from collections.abc import Mapping
from uuid import UUID

from domain.values import is_object_id

SPELLING_LENGTH_MAX = 256  # Characters; a document whose id takes more is quarantined.
_UUID = "04"  # The subtype of binary data that is a UUID.


def reads_otherwise(text: str) -> bool:
    """Say whether a text as it stands would read as an id of another type."""
    return is_object_id(text) or text[:1] in ('"', "{") or text in ("true", "false")


def quoted(text: str) -> str:
    """Return the spelling of a text that would read otherwise."""
    return json.dumps(text)


def shown_id(spelling: str) -> str:
    """Return an id as clients are shown it: a text, a number or a UUID as such."""
    if spelling[:1] not in ('"', "{"):
        return spelling
    try:
        value = json.loads(spelling)
    except (ValueError, RecursionError):
        return spelling
    match value:
        case str():
            return value
        case {"$numberInt": str(number)} | {"$numberLong": str(number)} if len(value) == 1:
            return number
        case {"$binary": {"subType": subtype, "base64": str(data)}} if subtype == _UUID:
            return _uuid(data) or spelling
        case _:
            return spelling


def _uuid(data: str) -> str | None:
    try:
        return str(UUID(bytes=b64decode(data)))
    except (Error, ValueError):
        return None


def kept_id(document: Mapping[str, object]) -> str | None:
    """Return the spelling of a document's id; None: it is of a type, or a length, not kept."""
    name = document["_id"]
    if type(name) is str and len(name) <= SPELLING_LENGTH_MAX:
        return name
    return None
