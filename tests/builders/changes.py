"""Writes of other programs, and what the change stream tells of them."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from bson import ObjectId

from actors.mongo.changes import MongoChanges
from actors.sync.changes import StreamedChange
from domain.values import UserId
from tests.builders.authors import NOON

TAKES_MAX = 10


def take_until(
    source: MongoChanges, reached: Callable[[list[StreamedChange]], bool]
) -> list[StreamedChange]:
    taken: list[StreamedChange] = []
    for _ in range(TAKES_MAX):
        taken += source.take()
        if reached(taken):
            return taken
    raise AssertionError(f"not reached with {taken}")


def up_to_a_beat(source: MongoChanges) -> list[StreamedChange]:
    """Write a beat, and return what came before it."""
    source.beat("me", 1.5, None)
    taken = take_until(source, lambda seen: any(change.beat for change in seen))
    return [change for change in taken if change.beat is None]


def subscription(user_id: Any = "ann", **changed: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "user_id": user_id,
        "start_date": NOON,
        "end_date": NOON + timedelta(days=30),
        "total_credits": 3000.0,
        "spendable_credits": 2700.0,
        "status": "active",
        "__v": 0,
    } | changed


def users(changes: Sequence[StreamedChange]) -> list[UserId]:
    return [user for change in changes for user in change.users]
