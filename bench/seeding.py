"""Gives every user of a run one subscription: in the service, and in the plain service's data."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pymongo
from bson import Int64, ObjectId
from rich.console import Console

from actors.auth.api_keys import make_key
from actors.auth.caller import Scope
from actors.client import Allotment
from actors.mongo.connection import connect
from actors.mongo.keys import MongoKeys
from bench.progress import begin, track
from bench.users import AMOUNT, DAYS, user_id
from domain.local_days import ONE_DAY, midnight

CONCURRENT = 500  # Payments on their way to the shards at once.
DOCUMENTS_PER_INSERT = 2_000
SYSTEM_PORTION = AMOUNT // 10  # The service's default of 10 percent.


def seed_service(client: Allotment, users: int, console: Console) -> None:
    """Add credits to every user, as a payment does."""

    async def add(index: int) -> None:
        payment = {
            "method": "card",
            "transaction_id": f"bench-{index}",
            "amount": 2900,
            "currency": "eur",
        }
        await client.client.add_credit(user_id(index), AMOUNT, DAYS, payment)

    async def add_all(part: range) -> None:
        await asyncio.gather(*map(add, part))

    for start in track(console, range(0, users, CONCURRENT), lambda _: "seeding the service"):
        client.wait(add_all(range(start, min(start + CONCURRENT, users))))


def seed_plain(uri: str, name: str, users: int, console: Console) -> str:
    """Fill the plain service's database, and return a key for it."""
    begin(console, "seeding the plain service")
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
