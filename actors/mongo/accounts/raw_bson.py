"""Reads documents as the bytes that came, without an object for each of them.

PyMongo's raw cursors make one all the same, which is half of what they cost. Here the batch is
cut out of the server's reply: https://bsonspec.org/spec.html is all that is needed for it.
"""

import contextlib
import struct
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import pymongo
from bson import Int64
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from actors.mongo.embedded_wire import Documents

VALUES_PER_QUERY_MAX = 1_000  # Longer lists of values are asked for in parts.
DOCUMENTS_PER_BATCH = 10_000  # And no more than 16 MiB, whatever is asked for.
END_SECONDS_MAX = 1.0  # How long a cursor's end may take to tell.

DOCUMENT = 0x03
# Bytes of the values that a reply may have beside its documents, by type.
_FIXED = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x10: 4, 0x11: 8, 0x12: 8}
# Bytes of those that say how long they are, beside what they say.
_BESIDE_LENGTH = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5}
_LENGTH = struct.Struct("<i")
_INT64 = struct.Struct("<q")
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


def raw_batches(  # noqa: PLR0913 - what a find is made of
    database: Documents,
    collection: str,
    where: Mapping[str, Any],
    fields: Sequence[str],
    *,
    sort: str | None = None,
    limit: int = 0,
    batch_size: int = DOCUMENTS_PER_BATCH,
    session: ClientSession,
) -> Generator[list[bytes]]:
    """Yield what is found, a batch of the server's at a time; `limit` 0: all. Raises PyMongoError.

    To be closed where it is not read to its end: until then the server keeps a cursor.
    """
    find: dict[str, Any] = {"find": collection, "filter": where, "batchSize": batch_size}
    find |= {"limit": limit} if limit else {}
    concern: dict[str, Any] = {"level": "majority"}  # Commands inherit none.
    if session.operation_time is not None:
        concern["afterClusterTime"] = session.operation_time
    find |= {"readConcern": concern}
    find |= {"projection": dict.fromkeys(fields, 1)} | ({"sort": {sort: 1}} if sort else {})
    cursor = _cursor(database.command(find, codec_options=_RAW, session=session))
    number, batch = _INT64.unpack(cursor["id"])[0], cursor["firstBatch"]
    try:
        yield list(split_array(batch))
        while number:
            more = {"getMore": number, "collection": collection, "batchSize": batch_size}
            cursor = _cursor(database.command(more, codec_options=_RAW, session=session))
            number, batch = _INT64.unpack(cursor["id"])[0], cursor["nextBatch"]
            yield list(split_array(batch))
    finally:
        if number:
            _end(database, collection, number, session)


def raw_found(
    database: Documents,
    collection: str,
    field: str,
    values: Sequence[Any],
    fields: Sequence[str],
    session: ClientSession,
) -> Iterator[bytes]:
    """Yield the documents whose field is one of the values. Raises PyMongoError."""
    for start in range(0, len(values), VALUES_PER_QUERY_MAX):
        where = {field: {"$in": values[start : start + VALUES_PER_QUERY_MAX]}}
        for batch in raw_batches(database, collection, where, fields, session=session):
            yield from batch


def _end(database: Documents, collection: str, number: int, session: ClientSession) -> None:
    """End a cursor that nobody reads on. Where it cannot be told, the server ends it by itself."""
    with contextlib.suppress(PyMongoError), pymongo.timeout(END_SECONDS_MAX):
        database.command("killCursors", collection, cursors=[Int64(number)], session=session)


def split(documents: bytes) -> Iterator[bytes]:
    """Yield documents that follow each other."""
    start = 0
    while start < len(documents):
        end = start + _LENGTH.unpack_from(documents, start)[0]
        yield documents[start:end]
        start = end


def split_array(array: bytes) -> Iterator[bytes]:
    """Yield the documents of a BSON array."""
    at = 4
    while array[at] == DOCUMENT:
        start = array.index(0, at) + 1
        at = start + _LENGTH.unpack_from(array, start)[0]
        yield array[start:at]
    assert at == len(array) - 1, "a batch holds documents only"


def _cursor(reply: RawBSONDocument) -> dict[str, bytes]:
    return _elements(_elements(bytes(reply.raw))["cursor"])


def _elements(document: bytes) -> dict[str, bytes]:
    """Return the values of a document by their names, as bytes."""
    found: dict[str, bytes] = {}
    at = 4
    while kind := document[at]:
        start = document.index(0, at) + 1
        length = _FIXED.get(kind) or _LENGTH.unpack_from(document, start)[0] + _BESIDE_LENGTH[kind]
        found[document[at + 1 : start - 1].decode()] = document[start : start + length]
        at = start + length
    return found
