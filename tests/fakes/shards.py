"""Shards that run in a test's own event loop, without Ray, on a clock that the test sets."""

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ParamSpec

from actors.protocol.calls import Call, Envelope, Reply
from actors.protocol.directory import even
from actors.protocol.store import Store
from actors.shard.shard import Shard
from domain.api.answers import CreditStatusResponse
from domain.values import Policy, UserId
from tests.builders.authors import NOON, POLICY, add_credit, use
from tests.fakes.memory_store import Gate
from tests.patience import PATIENCE_SECONDS

TEST_SECONDS_MAX = PATIENCE_SECONDS

P = ParamSpec("P")


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in a loop of its own, within a time limit."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def within_limit() -> None:
            async with asyncio.timeout(TEST_SECONDS_MAX):
                await test(*args, **kwargs)

        asyncio.run(within_limit())

    return run


class Clock:
    """Stands still until it is set."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Seconds:
    """A monotonic clock that the test sets."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def running(
    store: Store,
    *,
    clock: Callable[[], datetime] | None = None,
    policy: Policy = POLICY,
    accounts_max: int = 10_000,
    index: int = 0,
    shards: int = 1,
    views: bool = True,
    max_staleness: float = math.inf,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Shard]:
    """Run a shard and, unless told otherwise, its view writer. Raises what broke their loops."""
    shard = Shard(
        index,
        store,
        policy,
        accounts_max=accounts_max,
        clock=clock or Clock(),
        table=even(1, shards),
        max_staleness=max_staleness,
        monotonic=monotonic,
    )
    loops = [asyncio.create_task(shard.run()), asyncio.create_task(shard.reloader.run())]
    loops.append(asyncio.create_task(shard.expiry.run()))
    loops.append(asyncio.create_task(shard.loads.run()))
    if views:
        loops.append(asyncio.create_task(shard.views.run(shard.clean_until)))
    try:
        yield shard
    finally:
        for loop in loops:
            loop.cancel()
        ended = await asyncio.gather(*loops, return_exceptions=True)
        for error in ended:
            if not isinstance(error, asyncio.CancelledError):
                assert isinstance(error, BaseException), "the loops never end"
                raise error


async def until(reached: Callable[[], object]) -> None:
    """Give the loop its turns until a condition holds; the test's time limit bounds it."""
    while not reached():
        await asyncio.sleep(0.001)


async def at_the_gate(gate: Gate) -> None:
    """Wait until a call of the store stands at the gate."""
    await asyncio.to_thread(gate.wait_until_reached)


def credit_call(user_id: str, amount: int, days: int = 1, key: str = "credit") -> Call:
    return Call(add_credit(user_id, amount, days, f"transaction of {key}"), key, keep_refusal=True)


def charge_call(
    user_id: str, amount: int, key: str, *, record: bool = False, keep_refusal: bool = True
) -> Call:
    return Call(use(user_id, amount, record=record), key, keep_refusal)


async def ask(shard: Shard, *calls: Call) -> list[Reply]:
    """Send calls in one envelope."""
    return await shard.handle(Envelope(shard.table.version, calls))


async def ask_one(shard: Shard, call: Call) -> Reply:
    (reply,) = await ask(shard, call)
    return reply


async def status(shard: Shard, user_id: str) -> CreditStatusResponse:
    """Return what the shard says a user has."""
    (reply,) = await shard.handle(Envelope(shard.table.version, (), (UserId(user_id),)))
    assert reply.body is not None, reply
    return CreditStatusResponse.model_validate_json(reply.body)
