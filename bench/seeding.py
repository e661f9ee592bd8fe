"""Gives every user of a run one subscription in the service."""

import asyncio

from rich.console import Console

from actors.client import Allotment
from bench.progress import track
from bench.users import AMOUNT, DAYS, user_id

CONCURRENT = 500  # Payments on their way to the shards at once.


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
