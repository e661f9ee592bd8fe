"""Reads a collection in the order of its ids, type by type, in parts that take no server long.

The embedded server reads all that a filter matches, whatever the limit, and makes all of an answer
before it sends any: ids are asked for between two bounds. Where many ids follow a long time without
any, one part may match them all. Ids longer than those that are kept (`actors/mongo/ids.py`) may be left out.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection

from actors.mongo.ids import ranges_after, with_end

DOCUMENTS_PER_PAGE = 200
DOCUMENTS_PER_QUERY = 5_000
FIRST_IDS, GROWTH = 64, 4
"""How many ids, be there documents or not, the first part spans, and how parts grow."""
OBJECT_ID_BYTES = 12
IDS_END = 2 ** (8 * OBJECT_ID_BYTES)

Document = dict[str, Any]
Read = Callable[[dict[str, Any]], Iterable[Document]]
"""Returns documents whose `_id` meets a condition, in the order of ids: the first of them, so many at most."""


def pages_by_id(
    collection: Collection[Document], after: object, limit: int | None
) -> Iterator[list[Document]]:
    """Yield, in lists, so many documents whose ids come after one; None: from the first, and all of them."""
    length = min(limit or DOCUMENTS_PER_QUERY, DOCUMENTS_PER_QUERY)

    def read(ids: dict[str, Any]) -> Iterable[Document]:
        return collection.find({"_id": ids}).sort("_id", 1).limit(length)

    documents = islice(in_order(read, length, after, lambda: low_id(collection)), limit)
    while page := list(islice(documents, DOCUMENTS_PER_PAGE)):
        yield page


def low_id(collection: Collection[Document]) -> ObjectId:
    """Return a low ObjectId: on the embedded server, of the document that was stored first."""
    found = collection.find_one({}, ["_id"], hint=[("_id", 1)]) or {}
    return found["_id"] if isinstance(found.get("_id"), ObjectId) else object_id(0)


def in_order(
    read: Read, length: int, after: object | None, low: Callable[[], ObjectId]
) -> Iterator[Document]:
    """Yield the documents whose ids come after one; None: all of them.

    `read` returns `length` at most. `low` guesses where ObjectIds begin: most often none is before it.
    """
    for ids in ranges_after(after):
        ((how, place),) = ids.items()
        if not isinstance(place, ObjectId):
            yield from _in_range(with_end(ids), read, length)
        elif how == "$gt":
            yield from _object_ids(number_of(place) + 1, read, length)
        else:
            known = low()
            number, last = yield from _counted(read({"$gte": place, "$lt": known}))
            begin = number_of(last) + 1 if number == length else number_of(known)
            yield from _object_ids(begin, read, length)


def _in_range(ids: dict[str, Any], read: Read, length: int) -> Iterator[Document]:
    """Yield the documents of a range of ids, read in parts."""
    while True:
        number, last = yield from _counted(read(ids))
        if number < length:
            return
        ids = with_end({"$gt": last})


def _object_ids(begin: int, read: Read, length: int) -> Iterator[Document]:
    """Yield the documents with an ObjectId from a number on, in parts that begin small."""
    width = FIRST_IDS
    while begin < IDS_END:
        end = min(begin + width, IDS_END)
        ids = {"$gte": object_id(begin), "$lte": object_id(end - 1)}
        number, last = yield from _counted(read(ids))
        if number < length:
            begin, width = end, width * GROWTH
        else:
            begin, width = number_of(last) + 1, FIRST_IDS


def _counted(documents: Iterable[Document]) -> Generator[Document, None, tuple[int, Any]]:
    """Yield documents; return how many they are, and the id of the last one."""
    number, last = 0, None
    for document in documents:
        number, last = number + 1, document["_id"]
        yield document
    return number, last


def number_of(object_id: ObjectId) -> int:
    """Return an ObjectId as a number, in the order of ids."""
    return int.from_bytes(object_id.binary, "big")


def object_id(number: int) -> ObjectId:
    """Return the ObjectId of a number."""
    return ObjectId(number.to_bytes(OBJECT_ID_BYTES, "big"))
