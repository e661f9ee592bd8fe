"""What operators read across all users: whose a subscription is, pages of all of them, and refusals."""

from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import Any

from bson import ObjectId

from actors.mongo.accounts.refusals import refusal_page
from actors.mongo.accounts.usage_pages import PAGE_BYTES_MAX, RECORD_BYTES
from actors.mongo.connection import unavailable_on_error
from actors.mongo.documents.owner import user_of
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import (
    as_stored,
    ids_shown_as,
    key_of,
    name_of,
    range_of,
    ranges_after,
    spelled,
    with_end,
)
from actors.mongo.references import with_ids_spelled
from actors.protocol.queries import RefusalPageQuery, SubscriptionPageQuery
from actors.protocol.store import ChargedUsage
from domain.api.answers import SubscriptionPage, SubscriptionRecord
from domain.api.list_answers import subscription_record
from domain.api.refusal_answers import RefusalPage
from domain.documents.subscriptions import Document, UnreadableError, read_subscription
from domain.values import Status, UserId, is_object_id

GRANT_BYTES = 300  # Of a grant in a list.
TEXT, OBJECT_ID, SPELLED = "t", "o", "s"
"""How a cursor says what follows: a text as it is, 24 hex digits, or the spelling of another id."""
FIRST_IDS, GROWTH = 64, 4
"""How many ids, be there documents or not, the first part of a page spans, and how parts grow."""
OBJECT_ID_BYTES = 12
IDS_END = 2 ** (8 * OBJECT_ID_BYTES)


class MongoOverview:
    """Reads the views of all users. `timezone` is that of documents that name none."""

    def __init__(self, database: Documents, timezone: str) -> None:
        self._database = database
        self._timezone = timezone
        self._known_id: ObjectId | None = None

    def owner_of(self, subscription_id: str) -> tuple[UserId, str] | None:
        """Return whose a subscription is, and its id as accounts spell it."""
        ids = ids_shown_as(subscription_id)
        with unavailable_on_error():
            found = list(self._database.subscriptions.find({"_id": {"$in": ids}}, ["user_id"]))
        by_id = {key_of(document["_id"]): document for document in found}
        for document in filter(None, (by_id.get(key_of(i)) for i in ids)):
            user_id, name = user_of(document), spelled(document["_id"])
            if user_id is not None and name is not None:
                return user_id, name
        return None

    def charged(self, usage_id: str) -> ChargedUsage | None:
        """Return what a usage record of ours charged; None where the views have none yet."""
        if not is_object_id(usage_id):  # Ids of ours are.
            return None
        where = {"_id": ObjectId(usage_id)}
        with unavailable_on_error():
            found = self._database.usages.find_one(where, ["user_id", "seq", "service_type"])
        if found is None or found.get("seq") is None:  # Another program's record charges nothing.
            return None
        user_id, service = user_of(found), found.get("service_type")
        if user_id is None:
            return None
        return ChargedUsage(user_id, service if isinstance(service, str) else None)

    def subscription_page(self, query: SubscriptionPageQuery, now: datetime) -> SubscriptionPage:
        """Return one page. ValueError: the cursor is not one of ours."""
        items: list[SubscriptionRecord] = []
        last: object = None
        room = PAGE_BYTES_MAX
        with unavailable_on_error():
            for document in self._documents(query):
                if len(items) == query.limit or room <= 0:
                    return SubscriptionPage(items=items, next_cursor=_cursor(last))
                last = document["_id"]
                record = self._record(document, now)
                if record and query.status in (None, record.status):
                    items.append(record)
                    room -= RECORD_BYTES + GRANT_BYTES * len(record.grants)
        return SubscriptionPage(items=items, next_cursor=None)

    def refusal_page(self, query: RefusalPageQuery, now: datetime) -> RefusalPage:
        """Return one page. ValueError: the cursor is not one of ours."""
        with unavailable_on_error():
            return refusal_page(self._database, query, now)

    def _documents(self, query: SubscriptionPageQuery) -> Iterator[Document]:
        """Yield what follows the cursor: the ids of each type in their order."""
        for ids in ranges_after(None if query.cursor is None else _read_cursor(query.cursor)):
            ((how, place),) = ids.items()
            if not isinstance(place, ObjectId):
                yield from self._in_range(ids, query.status, query.limit + 1)
            elif how == "$gt":
                yield from self._object_ids(number_of(place) + 1, query.status, query.limit + 1)
            else:
                yield from self._all_object_ids(query.status, query.limit + 1)

    def _in_range(
        self, ids: dict[str, Any], status: Status | None, length: int
    ) -> Iterator[Document]:
        """Yield the documents of a range of ids, read in parts: most callers want one part."""
        while True:
            found = self._part(with_end(ids), status, length)
            yield from found
            if len(found) < length:
                return
            ids = {"$gt": found[-1]["_id"]}

    def _all_object_ids(self, status: Status | None, length: int) -> Iterator[Document]:
        """Yield those with an ObjectId: what is before the first known one, then what is from there.

        Which one is known is only a guess of where many begin: most often nothing is before it.
        """
        known = self._known_id or self._any_object_id()
        before = self._part({"$gte": object_id(0), "$lt": known}, status, length)
        begin = number_of(before[-1]["_id"]) + 1 if len(before) == length else number_of(known)
        documents = chain(before, self._object_ids(begin, status, length))
        first = next(documents, None)
        if first is not None:
            if status is None:
                self._known_id = first["_id"]
            yield first
        yield from documents

    def _any_object_id(self) -> ObjectId:
        """Return a low one: on the embedded server, of the document that was stored first."""
        found = self._database.subscriptions.find_one({}, ["_id"], hint=[("_id", 1)]) or {}
        return found["_id"] if isinstance(found.get("_id"), ObjectId) else object_id(0)

    def _object_ids(self, begin: int, status: Status | None, length: int) -> Iterator[Document]:
        """Yield the documents with an ObjectId from a number on, in parts that begin small.

        The embedded server reads all that a filter matches, whatever the limit.
        """
        width = FIRST_IDS
        while begin < IDS_END:
            end = min(begin + width, IDS_END)
            ids = {"$gte": object_id(begin), "$lte": object_id(end - 1)}
            found = self._part(ids, status, length)
            yield from found
            if len(found) < length:
                begin, width = end, width * GROWTH
            else:
                begin, width = number_of(found[-1]["_id"]) + 1, FIRST_IDS

    def _part(self, ids: dict[str, Any], status: Status | None, length: int) -> list[Document]:
        where: dict[str, Any] = {"_id": ids}
        if status is not None:
            where = {"status": str(status), "_id": ids}
        return list(self._database.subscriptions.find(where).sort("_id", 1).limit(length))

    def _record(self, document: Document, now: datetime) -> SubscriptionRecord | None:
        user_id = user_of(document)
        if user_id is None:
            return None
        try:
            subscription = read_subscription(with_ids_spelled(document), self._timezone)
        except UnreadableError:
            return None
        return subscription_record(user_id, subscription, document.get("stripe"), now)


def number_of(object_id: ObjectId) -> int:
    """Return an ObjectId as a number, in the order of ids."""
    return int.from_bytes(object_id.binary, "big")


def object_id(number: int) -> ObjectId:
    """Return the ObjectId of a number."""
    return ObjectId(number.to_bytes(OBJECT_ID_BYTES, "big"))


def _cursor(last: object) -> str:
    match last:
        case ObjectId():
            return f"{OBJECT_ID}{last}"
        case str():
            return f"{TEXT}{last}"
        case _:
            return f"{SPELLED}{name_of(last)}"


def _read_cursor(cursor: str) -> object:
    """Return the id that a page ended with. ValueError: the cursor is not one of ours."""
    kind, text = cursor[:1], cursor[1:]
    if kind == TEXT:
        return text
    if kind == OBJECT_ID and is_object_id(text):
        return ObjectId(text)
    last = as_stored(text)
    if kind == SPELLED and range_of(last) is not None and spelled(last) == text:
        return last
    raise ValueError("the cursor is not one that a page gave")
