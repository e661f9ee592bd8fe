"""What operators read across all users: whose a subscription is, pages of all of them, and refusals."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from bson import ObjectId

from actors.mongo.accounts.refusals import refusal_page
from actors.mongo.accounts.usage_pages import PAGE_BYTES_MAX, RECORD_BYTES
from actors.mongo.connection import unavailable_on_error
from actors.mongo.documents.owner import user_of
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import as_stored, ids_shown_as, key_of, name_of, range_of, spelled
from actors.mongo.pages import in_order, low_id
from actors.mongo.references import with_ids_spelled
from actors.protocol.queries import RefusalPageQuery, SubscriptionPageQuery
from actors.protocol.store import ChargedUsage
from domain.api.answers import SubscriptionPage, SubscriptionRecord
from domain.api.list_answers import subscription_record
from domain.api.refusal_answers import RefusalPage
from domain.documents.subscriptions import Document, UnreadableError, read_subscription
from domain.values import UserId, is_object_id

GRANT_BYTES = 300  # Of a grant in a list.
TEXT, OBJECT_ID, SPELLED = "t", "o", "s"
"""How a cursor says what follows: a text as it is, 24 hex digits, or the spelling of another id."""


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
        after = None if query.cursor is None else _read_cursor(query.cursor)
        where = {} if query.status is None else {"status": str(query.status)}

        def read(ids: dict[str, Any]) -> list[dict[str, Any]]:
            found = self._database.subscriptions.find({**where, "_id": ids})
            return list(found.sort("_id", 1).limit(query.limit + 1))

        is_first = query.status is None and not isinstance(after, ObjectId)
        for document in in_order(read, query.limit + 1, after, self._low_id):
            if is_first and isinstance(document["_id"], ObjectId):
                self._known_id, is_first = document["_id"], False
            yield document

    def _low_id(self) -> ObjectId:
        return self._known_id or low_id(self._database.subscriptions)

    def _record(self, document: Document, now: datetime) -> SubscriptionRecord | None:
        user_id = user_of(document)
        if user_id is None:
            return None
        try:
            subscription = read_subscription(with_ids_spelled(document), self._timezone)
        except UnreadableError:
            return None
        return subscription_record(user_id, subscription, document.get("stripe"), now)


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
