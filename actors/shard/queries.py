"""What is asked of a shard beside commands and statuses: lists, holds, a change to be seen at once.

Lists are read elsewhere (`actors/shard/lists.py`). The shard only sees to it that its user's views contain
every acknowledged write.
"""

import asyncio
import re
from calendar import monthrange
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

from actors.protocol.calls import MOVED, UNAVAILABLE, Call, Envelope, Outcome, Reply
from actors.protocol.store import HistoryQuery, Reads, StoreError, UsageQuery
from actors.shard.shard import Shard
from domain.api.answers import SubscriptionRecord
from domain.api.hold_answers import open_holds
from domain.ids import shown_id
from domain.local_days import ONE_DAY
from domain.values import Policy, UserId

QUERY_SECONDS_MAX = 8.0  # How long a query may wait for the views, and as long for the database.

_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")
# Never those of the lease and the views: what changes a subscription waits for none of them.
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="queries")


@dataclass(frozen=True, slots=True)
class MonthQuery:
    """The sums of one calendar month in the user's time zone."""

    user_id: UserId
    month: str


@dataclass(frozen=True, slots=True)
class SubscriptionsQuery:
    """All subscriptions of one user."""

    user_id: UserId


@dataclass(frozen=True, slots=True)
class SettleQuery:
    """A user's status, answered once the views contain every acknowledged write."""

    user_id: UserId
    though_broken: bool
    """Where the journal is broken, answered without a status: its history can be read all the same."""


@dataclass(frozen=True, slots=True)
class ChangeQuery:
    """A change of a subscription, answered once it is in RAM and in its document."""

    call: Call

    @property
    def user_id(self) -> UserId:
        return self.call.command.user_id


@dataclass(frozen=True, slots=True)
class HoldsQuery:
    """The open holds of one user."""

    user_id: UserId


ReadQuery = UsageQuery | MonthQuery | SubscriptionsQuery | HistoryQuery
ShardQuery = SettleQuery | HoldsQuery | ChangeQuery
Query = ReadQuery | HoldsQuery | ChangeQuery


def parse_month(text: str) -> tuple[date, date]:
    """Return the first day of a month (YYYY-MM) and the one after its last. ValueError."""
    match = _MONTH.fullmatch(text)
    if not match or not 1970 <= int(match[1]) < 2200:
        raise ValueError("a month is YYYY-MM, from 1970 to 2199")
    first = date(int(match[1]), int(match[2]), 1)
    return first, first.replace(day=monthrange(first.year, first.month)[1]) + ONE_DAY


class Queries:
    """Answers for the users of one shard."""

    def __init__(self, shard: Shard, reads: Reads, policy: Policy) -> None:
        self._shard = shard
        self._reads = reads
        self._policy = policy

    async def answer(self, version: int, query: ShardQuery) -> Reply:
        """Return the answer to one query."""
        try:
            async with asyncio.timeout(QUERY_SECONDS_MAX):
                if isinstance(query, ChangeQuery):
                    return await self._change(version, query.call)
                # The account is loaded first: that takes up entries the views may lack.
                status = (await self._shard.handle(Envelope(version, (), (query.user_id,))))[0]
                if isinstance(query, SettleQuery):
                    return await self._settled(query, status)
                return self._holds(query.user_id) if status.outcome is Outcome.DONE else status
        except (StoreError, TimeoutError):
            return UNAVAILABLE

    async def _settled(self, query: SettleQuery, status: Reply) -> Reply:
        if status.outcome is Outcome.DONE:
            await self._shard.settle(query.user_id)
        elif query.though_broken and query.user_id in self._shard.broken:
            return Reply(Outcome.DONE)
        return status

    def _holds(self, user_id: UserId) -> Reply:
        account = self._shard.accounts.get(user_id)
        if account is None:  # Forgotten since it was read: the caller asks again.
            return MOVED
        answer = open_holds(account, self._shard.now(), self._policy)
        return Reply(Outcome.DONE, answer.model_dump_json().encode())

    async def _change(self, version: int, call: Call) -> Reply:
        user_id = call.command.user_id
        (reply,) = await self._shard.handle(Envelope(version, (call,)))
        if reply.outcome is not Outcome.DONE:
            return reply
        await self._shard.settle(user_id)
        # Accounts do not hold what another program keeps in `stripe`.
        record = SubscriptionRecord.model_validate_json(reply.body or b"")
        reading = asyncio.get_running_loop().run_in_executor
        documents = await reading(_THREADS, self._reads.subscriptions_of, user_id)
        stripe = {shown_id(str(d["_id"])): d.get("stripe") for d in documents}.get(
            record.subscription_id
        )
        record = record.model_copy(update={"stripe": stripe})
        return reply._replace(body=record.model_dump_json().encode())
