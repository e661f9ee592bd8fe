"""What operators read across all users: whose a subscription is, and pages of all of them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from bson import ObjectId

from actors.mongo.connection import Documents, unavailable_on_error
from actors.mongo.documents import stored_id
from actors.store import SubscriptionPageQuery
from domain.answering import subscription_record
from domain.answers import SubscriptionPage, SubscriptionRecord
from domain.foreign import Document, UnreadableError, read_subscription
from domain.values import Status, UserId, is_object_id, parse_user_id

FIRST_OBJECT_ID = ObjectId("0" * 24)
TEXT, OBJECT_ID = "t", "o"
"""How a cursor tells the two kinds of ids apart: a comparison finds ids of its own kind only."""


class MongoOverview:
    """Reads the views of all users. `timezone` is that of documents that name none."""

    def __init__(self, database: Documents, timezone: str) -> None:
        self._database = database
        self._timezone = timezone

    def owner_of(self, subscription_id: str) -> tuple[UserId, str] | None:
        """Return whose a subscription is, and its id as accounts spell it."""
        with unavailable_on_error():
            where = {"_id": stored_id(subscription_id)}
            document = self._database.subscriptions.find_one(where, ["user_id"])
        user_id = document and user_of(document)
        return (user_id, str(document["_id"])) if document and user_id else None

    def subscription_page(self, query: SubscriptionPageQuery, now: datetime) -> SubscriptionPage:
        """Return one page. ValueError: the cursor is not one of ours."""
        items: list[SubscriptionRecord] = []
        last: object = None
        with unavailable_on_error():
            for document in self._documents(query):
                if len(items) == query.limit:
                    return SubscriptionPage(items=items, next_cursor=_cursor(last))
                last = document["_id"]
                record = self._record(document, now)
                if record and query.status in (None, record.status):
                    items.append(record)
        return SubscriptionPage(items=items, next_cursor=None)

    def _documents(self, query: SubscriptionPageQuery) -> Iterator[Document]:
        """Yield what follows the cursor: texts in their order, then ObjectIds in theirs."""
        kind, after = (None, None) if query.cursor is None else _read_cursor(query.cursor)
        ranges: list[dict[str, object]]
        ranges = [{"$gt": after} if kind == TEXT else {"$gte": ""}] if kind != OBJECT_ID else []
        ranges.append({"$gt": after} if kind == OBJECT_ID else {"$gte": FIRST_OBJECT_ID})
        for ids in ranges:
            yield from self._in_range(ids, query.status, query.limit + 1)

    def _in_range(
        self, ids: dict[str, object], status: Status | None, length: int
    ) -> Iterator[Document]:
        """Yield the documents of a range of ids, read in parts: most callers want one part."""
        while True:
            where: dict[str, Any] = {"_id": ids}
            if status is not None:
                where = {"status": str(status), "_id": ids}
            found = list(self._database.subscriptions.find(where).sort("_id", 1).limit(length))
            yield from found
            if len(found) < length:
                return
            ids = {"$gt": found[-1]["_id"]}

    def _record(self, document: Document, now: datetime) -> SubscriptionRecord | None:
        user_id = user_of(document)
        if user_id is None:
            return None
        try:
            subscription = read_subscription(document, self._timezone)
        except UnreadableError:
            return None
        return subscription_record(user_id, subscription, document.get("stripe"), now)


def user_of(document: Document) -> UserId | None:
    """Return whose a document is; None where its `user_id` cannot be read."""
    user_id = document.get("user_id")
    if not isinstance(user_id, str | ObjectId):
        return None
    try:
        return parse_user_id(str(user_id))
    except ValueError:
        return None


def _cursor(last: object) -> str:
    return f"{OBJECT_ID if isinstance(last, ObjectId) else TEXT}{last}"


def _read_cursor(cursor: str) -> tuple[str, object]:
    kind, text = cursor[:1], cursor[1:]
    if kind == TEXT:
        return kind, text
    if kind == OBJECT_ID and is_object_id(text):
        return kind, ObjectId(text)
    raise ValueError("the cursor is not one that a page gave")
