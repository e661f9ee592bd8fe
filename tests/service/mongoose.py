"""Writes documents as another program on Mongoose does: doubles, ObjectIds, `__v`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from bson import ObjectId
from pymongo.database import Database

from tests.patience import PATIENCE_SECONDS
from tests.service.requests import status
from tests.service.running import RunningService, wait_until

FOLLOWS_SECONDS_MAX = (
    PATIENCE_SECONDS  # Of a busy test machine; about 0.02 s where nothing else runs.
)


def today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass
class Mongoose:
    """Another program, with a connection of its own."""

    database: Database[dict[str, Any]]
    http: httpx.Client

    def user(self) -> str:
        """Return a user nobody has heard of, and let the shard remember that."""
        user = str(ObjectId())
        assert status(self.http, user)["status"] == "none"
        return user

    def subscription(self, user: str, **changed: Any) -> ObjectId:
        """Insert 2,700 spendable credits over 30 days from today: 90 a day. None: no field."""
        document = subscription_document(ObjectId(user), **changed)
        self.database.subscriptions.insert_one(document)
        return ObjectId(document["_id"])

    def set(self, subscription_id: ObjectId, **fields: Any) -> None:
        """Change fields of a subscription."""
        self.database.subscriptions.update_one({"_id": subscription_id}, {"$set": fields})

    def day(self, subscription_id: ObjectId, used: float, days_ago: int = 0) -> ObjectId:
        """Insert a day: without `user_id`, as its schema has none."""
        document: dict[str, Any] = {
            "_id": ObjectId(),
            "subscription_id": subscription_id,
            "date": today() - timedelta(days=days_ago),
            "daily_credit_limit": 90.0,
            "credits_used": used,
            "credits_rolled_over": 0.0,
            "__v": 0,
        }
        self.database.dailycredits.insert_one(document)
        return ObjectId(document["_id"])

    def flushed_day(self, user: str) -> dict[str, Any]:
        """Return the user's one day document, once it contains all that was decided so far."""
        wait_until(lambda: is_flushed(self.database, ObjectId(user)), FOLLOWS_SECONDS_MAX)
        (day,) = self.database.dailycredits.find({"user_id": ObjectId(user)})
        return day

    def shows(self, user: str, **expected: Any) -> None:
        """Wait until the user is shown all of this."""
        seen: dict[str, Any] = {}

        def reached() -> bool:
            seen.update(status(self.http, user))
            return expected.items() <= seen.items()

        try:
            wait_until(reached, FOLLOWS_SECONDS_MAX)
        except AssertionError:
            assert {name: seen[name] for name in expected} == expected


def subscription_document(user_id: Any, **changed: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "_id": ObjectId(),
        "user_id": user_id,
        "start_date": today(),
        "end_date": today() + timedelta(days=30),
        "total_credits": 3000.0,
        "system_portion": 300.0,
        "spendable_credits": 2700.0,
        "status": "active",
        "stripe": {"customer": "cus_1", "created": 1.7e9},
        "createdAt": datetime.now(UTC),
        "__v": 0,
    }
    return {k: v for k, v in (document | changed).items() if v is not None}


@contextmanager
def mongoose_of(service: RunningService, http: httpx.Client) -> Iterator[Mongoose]:
    with service.mongo() as client:
        yield Mongoose(client.allotment, http)


def is_flushed(database: Database[dict[str, Any]], user_id: ObjectId | str) -> bool:
    """Whether the views of a user contain every entry of the journal."""
    mark = database.allotment_accounts.find_one({"_id": user_id}) or {"applied_seq": 0}
    return bool(
        mark["applied_seq"] == database.allotment_journal.count_documents({"user_id": user_id})
    )
