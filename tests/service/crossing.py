"""Users of one seed who buy, use, run low and buy again, and what the world must be told of them."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

from actors.client.asynchronous import AsyncAllotment
from actors.protocol.errors import AllotmentError, InsufficientCreditsError, TryAgainError

ROUNDS = 5
ADDS = 1.3  # Of each user, on the average.
TOGETHER = 400  # Users whose commands are sent together,
WORKERS = 3  # and how many such groups are on their way at once.
BPS, LOW_PERCENT = 1000, 20
PAYMENT = {"method": "card", "amount": 0, "currency": "eur"}


@dataclass
class Model:
    """One user's day, and what the world must be told of it."""

    limit: int = 0
    used: int = 0
    days: int = 0
    low: bool = False
    events: list[str] = field(default_factory=list)

    def add(self, amount: int, days: int) -> None:
        spendable = amount - amount * BPS // 10_000
        had_one = self.days > 0
        self.limit += spendable // days
        self.events.append("subscription.changed")
        if had_one and days > self.days:
            self.events.append("subscription.renewed")
        self.days = max(self.days, days)
        self._look()

    def charge(self, amount: int) -> bool:
        """Charge, and return whether it is covered."""
        if amount > self.limit - self.used:
            return False
        self.used += amount
        self._look()
        if amount and self.used == self.limit:
            self.events.append("credits.depleted")
        return True

    def _look(self) -> None:
        low = (self.limit - self.used) * 100 <= LOW_PERCENT * self.limit
        if low and not self.low:
            self.events.append("subscription.low_credits")
        self.low = low


class Run:
    """Users of one seed, and a service that must tell of them."""

    def __init__(self, client: AsyncAllotment, users: int, seed: int) -> None:
        self.client = client
        self.random = Random(seed)
        self.seed = seed
        self.models = {f"crossing-{seed}-{number}": Model() for number in range(users)}
        self.repeats = 0
        self.charges = self.adds = 0
        hours = 12 - datetime.now(UTC).hour  # Noon is far from any midnight.
        self.timezone = f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT"

    async def live(self) -> None:
        """Let every user buy, use, run low, and some of them buy again."""
        users = list(self.models)
        await self._add(users, 0)
        for number in range(1, ROUNDS + 1):
            self.random.shuffle(users)
            amounts = {user: self.random.randint(5, 45) for user in users}
            await self._side_by_side(users, partial(self._charge, amounts, number))
            if number == ROUNDS // 2:
                await self._add([u for u in users if self.random.random() < ADDS - 1], number)

    async def _side_by_side(
        self, users: list[str], work: Callable[[list[str]], Coroutine[Any, Any, None]]
    ) -> None:
        """Work on groups of users, a few groups at once; return when all is done."""
        parts = [users[start : start + TOGETHER] for start in range(0, len(users), TOGETHER)]

        async def worker() -> None:
            while parts:
                await work(parts.pop())

        await asyncio.gather(*(worker() for _ in range(WORKERS)))

    async def _add(self, users: list[str], number: int) -> None:
        days = {user: self.random.choice([1, 2]) for user in users}

        async def add_all(part: list[str]) -> None:
            await asyncio.gather(*(self._add_one(user, days[user], number) for user in part))

        await self._side_by_side(users, add_all)

    async def _add_one(self, user: str, days: int, number: int) -> None:
        self.models[user].add(100 * days, days)
        payment = PAYMENT | {"transaction_id": f"t-{number}"}
        while True:
            try:
                await self.client.add_credit(
                    user, 100 * days, days, payment, timezone=self.timezone, key=f"add-{number}"
                )
            except TryAgainError:
                self.repeats += 1
            else:
                self.adds += 1
                return

    async def _charge(self, amounts: dict[str, int], number: int, users: list[str]) -> None:
        records, covered = {}, {}
        for user in users:
            covered[user] = self.models[user].charge(amounts[user])
            records[user] = {
                "user_id": user,
                "service_type": "chat",
                "credit_amount": amounts[user],
                "idempotency_key": f"charge-{number}",
            }
        while records:
            answers = await self.client.record_usages(list(records.values()))
            for user, answer in zip(list(records), answers, strict=True):
                if isinstance(answer, TryAgainError):
                    self.repeats += 1
                    continue
                refused = isinstance(answer, InsufficientCreditsError)
                assert refused or not isinstance(answer, AllotmentError), answer
                assert refused is not covered[user], (user, answer)
                del records[user]
                self.charges += 1
