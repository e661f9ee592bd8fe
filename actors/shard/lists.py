"""Reads lists, months and histories, and writes them out: in a process where nothing is decided.

A shard says first that all it has answered is in the views; what is read then sees every
acknowledged write. They are read one by one, with a rest after one that took long; the others wait, and
beyond that they are refused: lists never take the machine, nor the database, from decisions.
"""

import asyncio
import json
import pickle
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import assert_never

from actors.protocol.calls import OVERLOADED, UNAVAILABLE, Outcome, Reply
from actors.protocol.queries import (
    QUERY_SECONDS_MAX,
    Held,
    HeldQuery,
    HistoryQuery,
    HoldsQuery,
    MonthQuery,
    ReadQuery,
    RecentQuery,
    SettleQuery,
    SubscriptionsQuery,
    UsageQuery,
    parse_month,
)
from actors.protocol.store import Reads, StoreError
from domain.api.answers import Answer, PackRecord, UserSubscriptions
from domain.api.hold_answers import open_holds
from domain.api.list_answers import pack_record, subscription_record
from domain.api.usage_answers import MonthlyUsage, RecentUsage, UserUsage
from domain.documents.packs import read_packs
from domain.documents.subscriptions import read_subscriptions
from domain.local_days import ONE_DAY, day_of, midnight
from domain.subscription import Subscription
from domain.values import Policy, UserId

LISTS_AT_ONCE = 1  # Read at the same time: with two at the database, its writes wait twice as long.
LONG_READ_SECONDS = 0.01  # After one that took longer, the database is left to others
RESTS = 3.0  # for so many times as long as it took,
REST_SECONDS_MAX = 0.2  # up to here.
LISTS_WAITING_MAX = 200  # So many wait; more are refused.


async def ask_for_list(
    query: ReadQuery,
    settle: Callable[[SettleQuery | HeldQuery], Awaitable[Reply]],
    read: Callable[[ReadQuery, bytes], Awaitable[Reply]],
) -> Reply:
    """Return the reply to a query: its shard settles, and then it is read elsewhere."""
    settled = await settle(_question(query))
    if settled.outcome is not Outcome.DONE:
        return settled
    return await read(query, settled.body or b"")


def _question(query: ReadQuery) -> SettleQuery | HeldQuery:
    """Return what a shard is asked first. What is held is in its RAM."""
    if isinstance(query, HoldsQuery):
        return HeldQuery(query.user_id)
    return SettleQuery(query.user_id, though_broken=isinstance(query, HistoryQuery))


class Lists:
    """Answers queries about users whose views are settled."""

    def __init__(self, reads: Reads, policy: Policy) -> None:
        self._reads = reads
        self._policy = policy
        self._turns = asyncio.Semaphore(LISTS_AT_ONCE)
        self._threads = ThreadPoolExecutor(LISTS_AT_ONCE, thread_name_prefix="lists")
        self._waiting = 0

    async def answer(self, query: ReadQuery, status: bytes) -> Reply:
        """Return the answer. ValueError: the cursor is not ours.

        `status`: what the shard has said: the user's status as text, or what is `Held`.
        """
        if self._waiting >= LISTS_WAITING_MAX:
            return OVERLOADED
        self._waiting += 1
        try:
            async with asyncio.timeout(QUERY_SECONDS_MAX):
                body = await self._in_turn(query, status)
        except (StoreError, TimeoutError):
            return UNAVAILABLE
        finally:
            self._waiting -= 1
        return Reply(Outcome.DONE, body)

    async def _in_turn(self, query: ReadQuery, status: bytes) -> bytes:
        """Read when it is this query's turn, and let the database rest before the next one's."""
        await self._turns.acquire()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await loop.run_in_executor(self._threads, self._written, query, status)
        finally:
            took = loop.time() - began
            rest = min(RESTS * took, REST_SECONDS_MAX) if took > LONG_READ_SECONDS else 0.0
            loop.call_later(rest, self._turns.release)

    def _written(self, query: ReadQuery, status: bytes) -> bytes:
        """Read and write out. Blocks, as long as the reads may take."""
        return self._read(query, status).model_dump_json().encode()

    def _read(self, query: ReadQuery, status: bytes) -> Answer:
        if isinstance(query, HistoryQuery):
            return self._reads.history(query)
        if isinstance(query, HoldsQuery):
            held: Held = pickle.loads(status)  # noqa: S301 - a shard of ours made it
            return open_holds(held.account, held.now, self._policy)
        known = json.loads(status)
        now = datetime.fromisoformat(known["as_of"]).astimezone(UTC)
        match query:
            case UsageQuery():
                return self._reads.usage_page(query, now)
            case MonthQuery(user_id, month):
                zone: str = known["timezone"]
                usage = self._usage(user_id, *parse_month(month), zone)
                return MonthlyUsage(month=month, **dict(usage))
            case RecentQuery(user_id, days):
                zone = known["timezone"]
                today = day_of(now, zone)
                first = today - (days - 1) * ONE_DAY
                usage = self._usage(user_id, first, today + ONE_DAY, zone)
                return RecentUsage(first_day=str(first), last_day=str(today), **dict(usage))
            case SubscriptionsQuery(user_id):
                return self._subscriptions(user_id, now)
            case _:
                assert_never(query)

    def _usage(self, user_id: UserId, first: date, after: date, zone: str) -> UserUsage:
        """Return the sums of local days, of which the last is the one before `after`."""
        span = (midnight(first, zone), midnight(after, zone))
        return self._reads.usage_sums(user_id, span, zone)

    def _subscriptions(self, user_id: UserId, now: datetime) -> UserSubscriptions:
        documents = {str(d["_id"]): d for d in self._reads.subscriptions_of(user_id)}
        readable, _ = read_subscriptions(documents.values(), self._policy.timezone)
        return UserSubscriptions(
            user_id=user_id,
            subscriptions=[
                subscription_record(user_id, s, documents[s.subscription_id].get("stripe"), now)
                for s in sorted(readable, key=lambda s: _newest_first(s, now))
            ],
            packs=self._packs(user_id, now),
        )

    def _packs(self, user_id: UserId, now: datetime) -> list[PackRecord]:
        """Return all packs in the order in which they are spent; expired ones come last."""
        documents = {str(d["_id"]): d for d in self._reads.packs_of(user_id)}
        readable, _ = read_packs(documents.values())
        return [
            pack_record(user_id, pack, documents[pack.pack_id], now)
            for pack in sorted(readable, key=lambda pack: not pack.is_live(now))
        ]


def _newest_first(subscription: Subscription, now: datetime) -> tuple[bool, float]:
    return not subscription.is_current(now), -subscription.start.astimezone(UTC).timestamp()
