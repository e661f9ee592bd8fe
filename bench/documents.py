"""What users have in the databases of the peers, as documents of the service's collections."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pymongo
from bson import Int64, ObjectId

from actors.auth.api_keys import make_key
from actors.auth.caller import Scope
from actors.mongo.connection import connect
from actors.mongo.keys import MongoKeys
from bench.users import AMOUNT, DAYS, user_id
from domain.local_days import ONE_DAY, midnight

DOCUMENTS_PER_INSERT = 2_000
SYSTEM_PORTION = AMOUNT // 10  # The service's default of 10 percent.


def seed_database(uri: str, name: str, users: int) -> str:
    """Give every user a subscription and days, and return a key."""
    now = datetime.now(UTC)
    database = connect(uri, name)
    text, key = make_key("bench", Scope.ADMIN, now)
    database.allotment_api_keys.create_index([("hash", pymongo.ASCENDING)], unique=True)
    MongoKeys(database).insert(key)
    database.subscriptions.create_index([("user_id", pymongo.ASCENDING)])
    database.dailycredits.create_index(
        [("user_id", pymongo.ASCENDING), ("date", pymongo.ASCENDING)], unique=True
    )
    database.usages.create_index([("user_id", pymongo.ASCENDING), ("timestamp", pymongo.ASCENDING)])
    subscriptions = [subscription_document(index, now) for index in range(users)]
    for part in parts(subscriptions):
        database.subscriptions.insert_many(part, ordered=False)
    for part in parts([day for s in subscriptions for day in day_documents(s, now)]):
        database.dailycredits.insert_many(part, ordered=False)
    database.client.close()
    return text


def seed_key(uri: str, name: str) -> str:
    """Make a database with a key alone, and return the key."""
    database = connect(uri, name)
    text, key = make_key("bench", Scope.ADMIN, datetime.now(UTC))
    MongoKeys(database).insert(key)
    database.client.close()
    return text


def parts(documents: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the documents in parts that a server takes at once."""
    for start in range(0, len(documents), DOCUMENTS_PER_INSERT):
        yield documents[start : start + DOCUMENTS_PER_INSERT]


def subscription_document(index: int, now: datetime) -> dict[str, Any]:
    """Return one user's subscription."""
    return {
        "_id": ObjectId(),
        "user_id": ObjectId(user_id(index)),
        "start_date": now,
        "end_date": midnight(now.date() + DAYS * ONE_DAY, "UTC"),
        "total_credits": Int64(AMOUNT),
        "system_portion": Int64(SYSTEM_PORTION),
        "spendable_credits": Int64(AMOUNT - SYSTEM_PORTION),
        "status": "active",
        "timezone": "UTC",
    }


def day_documents(subscription: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
    """Return today's and tomorrow's day document: a run may go on past midnight."""
    return [
        {
            "_id": ObjectId(),
            "user_id": subscription["user_id"],
            "subscription_id": subscription["_id"],
            "date": midnight(day, "UTC"),
            "daily_credit_limit": Int64((AMOUNT - SYSTEM_PORTION) // DAYS),
            "credits_rolled_over": Int64(0),
            "credits_used": Int64(0),
        }
        for day in (now.date(), now.date() + ONE_DAY)
    ]
