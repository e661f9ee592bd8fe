"""Users who cross the line at random while shards, the EventActor and the receiver are killed.

`python -m tests.service.events_run --users 20000 --kill-every 10 --seed 1` runs a service of its
own and prints one JSON line. What every user's events must be is known beforehand: the model
below decides each command by itself. What the receiver got must be that: nothing missing, nothing
else, in each user's order, and repeats under the same id with the same body.
"""

import argparse
import asyncio
import json
import os
import signal
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import ray

from actors.async_client import AsyncAllotment
from actors.failures import AllotmentError, InsufficientCreditsError, TryAgainError
from tests.service.processes import actor_pid
from tests.service.receiver import Receiver, as_setting
from tests.service.running import RunningService

ROUNDS = 5
TOGETHER = 400  # Users whose commands are sent together.
ADDS_TOGETHER = 64
BPS, LOW_PERCENT = 1000, 20
DRAIN_SECONDS_MAX = 600.0
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
        self.charges = 0
        hours = 12 - datetime.now(UTC).hour  # Noon is far from any midnight.
        self.timezone = f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT"

    async def live(self) -> None:
        """Let every user buy, use, run low, and some of them buy again."""
        users = list(self.models)
        await self._add(users, 0)
        for number in range(1, ROUNDS + 1):
            self.random.shuffle(users)
            for start in range(0, len(users), TOGETHER):
                await self._charge(users[start : start + TOGETHER], number)
            if number == ROUNDS // 2:
                await self._add([u for u in users if self.random.random() < 0.3], number)

    async def _add(self, users: list[str], number: int) -> None:
        for start in range(0, len(users), ADDS_TOGETHER):
            part = users[start : start + ADDS_TOGETHER]
            days = [self.random.choice([1, 2]) for _ in part]
            await asyncio.gather(
                *(self._add_one(u, d, number) for u, d in zip(part, days, strict=True))
            )

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
                return

    async def _charge(self, users: list[str], number: int) -> None:
        records, covered = {}, {}
        for user in users:
            amount = self.random.randint(5, 45)
            covered[user] = self.models[user].charge(amount)
            records[user] = {
                "user_id": user,
                "service_type": "chat",
                "credit_amount": amount,
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


async def kill_in_turn(service: RunningService, receiver: Receiver, every: float) -> None:
    """SIGKILL a shard, the EventActor, and take the receiver down for a second, for ever."""
    while True:
        for victim in ("ShardActor", "EventActor", "receiver"):
            await asyncio.sleep(every)
            if victim == "receiver":
                receiver.stop()
                try:
                    await asyncio.sleep(1.0)
                finally:  # The run may end, and this with it, while the receiver is away.
                    receiver.start()
            else:
                kill_actor(service, victim)


def kill_actor(service: RunningService, name: str) -> None:
    try:
        os.kill(actor_pid(service, name), signal.SIGKILL)
    except (AssertionError, ProcessLookupError):
        return  # It was killed before and has not come back yet.


def is_complete(run: Run, receiver: Receiver) -> bool:
    wanted = sum(len(model.events) for model in run.models.values())
    prefix = f"crossing-{run.seed}-"
    ids = {r.event["id"] for r in list(receiver.received) if r.event["user_id"].startswith(prefix)}
    return len(ids) >= wanted


def judge(run: Run, receiver: Receiver) -> dict[str, Any]:
    """Return what differs between what was to be told and what was."""
    first: dict[str, list[tuple[str, str]]] = defaultdict(list)
    bodies: dict[str, bytes] = {}
    repeats = differing_bodies = 0
    for one in list(receiver.received):
        user, name = one.event["user_id"], one.event["id"]
        if user not in run.models:
            continue
        assert one.headers["webhook-id"] == name
        if name in bodies:
            repeats += 1
            differing_bodies += bodies[name] != one.body
            continue
        bodies[name] = one.body
        first[user].append((one.event["type"], one.event["created"]))
    told = {user: [kind for kind, _ in first[user]] for user in run.models}
    wrong = [user for user, model in run.models.items() if told[user] != model.events]
    wanted = sum(len(model.events) for model in run.models.values())
    return {
        "users": len(run.models),
        "charges": run.charges,
        "events_wanted": wanted,
        "events_told": len(bodies),
        "users_told_wrongly": len(wrong),
        "example": [(u, told[u], run.models[u].events) for u in wrong[:3]],
        "repeats": repeats,
        "repeats_share": round(repeats / max(wanted, 1), 5),
        "repeats_with_another_body": differing_bodies,
        "commands_repeated_by_the_client": run.repeats,
    }


async def run_with_kills(
    run: Run, service: RunningService, receiver: Receiver, every: float
) -> dict[str, Any]:
    """Live, with kills, until everything was told; return the judgement."""
    started = time.monotonic()
    killing = asyncio.create_task(kill_in_turn(service, receiver, every)) if every else None
    await run.live()
    lived = time.monotonic() - started
    if killing:
        killing.cancel()
        await asyncio.wait([killing])
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    while not is_complete(run, receiver) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    told = time.monotonic() - started
    await asyncio.sleep(2.0)  # What must not come would come now.
    return judge(run, receiver) | {
        "seconds_of_commands": round(lived, 1),
        "seconds_until_all_was_told": round(told, 1),
    }


async def connected(address: str) -> AsyncAllotment:
    return await AsyncAllotment.connect(address, timeout_seconds=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--kill-every", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    async def crossing(service: RunningService, receiver: Receiver) -> dict[str, Any]:
        client = await connected(service.ray_address)
        run = Run(client, options.users, options.seed)
        return await run_with_kills(run, service, receiver, options.kill_every)

    os.environ["RAY_AUTH_MODE"] = "token"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Receiver() as receiver:
        webhooks = as_setting(receiver.config("crossing"))
        settings = {"ALLOTMENT_SHARDS": "2", "ALLOTMENT_WEBHOOKS": webhooks}
        with RunningService(Path(folder), **settings, ALLOTMENT_LOG_EVENTS="0") as service:
            print(json.dumps(asyncio.run(crossing(service, receiver))))
            ray.shutdown()


if __name__ == "__main__":
    main()
