"""RAM compared with MongoDB as a test wants it, and spoilt before."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from inspect import isawaitable

from actors.protocol.reports import Findings
from actors.protocol.store import Store
from actors.shard.comparison import RECHECK_SECONDS, Comparison
from actors.shard.shard import Shard
from domain.values import Credits, UserId


class Naps:
    """A sleep that only gives the loop some turns; before each recheck it does what a test says.

    Where that is to be awaited, it is.
    """

    def __init__(self, before_recheck: Callable[[], object] = lambda: None, turns: int = 1) -> None:
        self.rechecks = 0
        self._before_recheck = before_recheck
        self._turns = turns

    async def __call__(self, seconds: float) -> None:
        if seconds == RECHECK_SECONDS:
            self.rechecks += 1
            done = self._before_recheck()
            if isawaitable(done):
                await done
        for _ in range(self._turns):
            await asyncio.sleep(0)


async def compare(
    shard: Shard,
    store: Store,
    naps: Naps | None = None,
    *,
    repair: bool = True,
    whole: bool = True,
) -> Findings:
    return await Comparison(shard, store, naps or Naps()).compare(repair=repair, whole=whole)


def corrupt(shard: Shard, user_id: UserId) -> None:
    """Spoil an account in RAM, as a defect of ours would."""
    account = shard.accounts[user_id]
    (subscription, *_) = account.subscriptions
    assert subscription.day is not None
    spoilt = replace(subscription, day=replace(subscription.day, used=Credits(77)))
    shard.accounts._awake.put(account.with_subscription(spoilt))
