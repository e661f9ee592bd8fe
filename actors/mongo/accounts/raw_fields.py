"""The few fields that sort raw documents, cut out of their bytes.

Where that is not plainly right, the document is decoded.
"""

import struct
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion

from actors.mongo.accounts.marks import FENCED, UNREADABLE
from actors.mongo.ids import key_of, name_of, read_user_id
from domain.values import UserId, user_digest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER, OPEN = -(2**63), 2**63 - 1  # Milliseconds, before and after every date of BSON.
OBJECT_ID, DATE, INT64 = 0x07, 0x09, 0x12  # Types of BSON.
ID_HEAD = b"\x07_id\0"  # A leading `_id` that is an ObjectId, after the document's length,
ID_AT, ID_END = 9, 21  # and where its bytes are.
_INT64 = struct.Struct("<q")


class Field:
    """Cuts one field out of raw documents. An ObjectId stays 12 bytes, a date milliseconds.

    Where the name occurs anywhere else too, or the type is another, the decoder says. Ids of other
    types are what `key_of` makes of them.
    """

    def __init__(self, name: str, kind: int) -> None:
        self._name = name
        self._plain = name.encode() + b"\0"
        self._key = bytes((kind,)) + self._plain
        self._length = len(self._key)
        self._is_id = kind == OBJECT_ID

    def of(self, document: bytes) -> Any:
        """Return the value; None where there is none."""
        at = document.find(self._key)
        if at > 0 and document.count(self._plain) == 1:
            at += self._length
            return document[at : at + 12] if self._is_id else _INT64.unpack_from(document, at)[0]
        value = bson.decode(document, DECODED).get(self._name)
        if self._is_id:
            return raw_key_of(value)
        return None if isinstance(value, dict | list | bytes) else value


DECODED: CodecOptions[Mapping[str, Any]] = CodecOptions(
    tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
USER, SUBSCRIPTION = Field("user_id", OBJECT_ID), Field("subscription_id", OBJECT_ID)
END, SEQ = Field("end_date", DATE), Field("applied_seq", INT64)
CHANGED = Field("changed_at", DATE)
CLOSED = [b"\x02" + name.encode() + b"\0" for name in (UNREADABLE, FENCED)]  # As BSON begins them.


def milliseconds_of(field: Field, document: bytes) -> int:
    """Return a date in milliseconds; what is none is before all others."""
    moment = field.of(document)
    if isinstance(moment, datetime):
        return (moment - EPOCH) // timedelta(milliseconds=1)
    return moment if isinstance(moment, int) else NEVER


def mark_in(document: bytes) -> int | None:
    mark = SEQ.of(document)
    is_known = isinstance(mark, int) and not isinstance(mark, bool) and mark >= 0
    return None if any(field in document for field in CLOSED) or not is_known else mark


def end_of(document: bytes) -> int:
    """Return an end in milliseconds; where there is none, it is open."""
    return OPEN if END.of(document) is None else milliseconds_of(END, document)


def id_of(document: bytes) -> Any:
    if document.startswith(ID_HEAD, 4):
        return document[ID_AT:ID_END]
    return raw_key_of(bson.decode(document, DECODED)["_id"])


def foreign_ids_of(user_id: UserId, documents: Iterable[bytes]) -> list[str]:
    """Return the ids that do not carry the user's mark (`mark_of`, here on bytes)."""
    mark = user_digest(user_id)[:4]
    names = []
    for document in documents:
        if not document.startswith(ID_HEAD, 4):
            names.append(name_of(bson.decode(document, DECODED)["_id"]))
        elif document[ID_AT + 4 : ID_AT + 8] != mark:
            names.append(document[ID_AT:ID_END].hex())
    return names


def raw_key_of(value: Any) -> Any:
    """Return what is equal for a decoded id and for one that was cut out."""
    return value.binary if isinstance(value, ObjectId) else key_of(value)


def stored_key(key: Any) -> Any:
    return ObjectId(key) if isinstance(key, bytes) else key


def value_of(key: Any, document: bytes) -> Any:
    return ObjectId(key) if isinstance(key, bytes) else bson.decode(document, DECODED)["_id"]


def user_named(raw: Any) -> UserId | None:
    """Return the user as accounts are named; None: the document is nobody's."""
    if isinstance(raw, bytes):
        return UserId(raw.hex())
    try:
        return read_user_id(raw)
    except ValueError:
        return None
