"""Subscriptions whose ids have any type, and a shard that has forgotten them."""

from datetime import timedelta
from typing import Any

from bson import ObjectId

from actors.protocol.changes import Changes
from actors.shard.shard import Shard
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.setups import MongoSetup

CAT = UserId("65f0a1b2c3d4e5f601234567")
MIDNIGHT = NOON.replace(hour=0)


def insert(setup: MongoSetup, subscription_id: Any, user: Any = None, **fields: Any) -> None:
    """Insert a subscription of 90 credits a day, as another program would."""
    document = {
        "_id": subscription_id,
        "user_id": ObjectId(CAT) if user is None else user,
        "start_date": MIDNIGHT,
        "end_date": MIDNIGHT + timedelta(days=30),
        "status": "active",
        "total_credits": 3000.0,
        "spendable_credits": 2700.0,
    }
    setup.database.subscriptions.insert_one(document | fields)


async def forgotten(shard: Shard) -> None:
    """Have the shard read everything anew."""
    await shard.settle()
    shard.following.follow(Changes(shard.table.version, forget_all=True))
