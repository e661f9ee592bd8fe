"""Reads a collection in the order of its ids, type by type, a page at a time."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from pymongo.collection import Collection

from actors.mongo.ids import ranges_after

DOCUMENTS_PER_PAGE = 200
# Some servers make all of an answer before they send the first of it: that to one query takes them no
# longer than a call may.
DOCUMENTS_PER_QUERY = 50_000

Document = dict[str, Any]


def pages_by_id(
    collection: Collection[Document], after: object, limit: int | None
) -> Iterator[list[Document]]:
    """Yield so many documents whose ids come after one; None: from the first, and all of them."""
    left = limit
    for least in ranges_after(after):
        where = least
        while where and left != 0:
            asked = min(left or DOCUMENTS_PER_QUERY, DOCUMENTS_PER_QUERY)
            found = collection.find({"_id": where}).sort("_id", 1).limit(asked)
            number, last = 0, None
            while page := list(islice(found, DOCUMENTS_PER_PAGE)):
                number, last = number + len(page), page[-1]["_id"]
                yield page
            left = left and left - number
            where = {"$gt": last} if number == asked else {}
