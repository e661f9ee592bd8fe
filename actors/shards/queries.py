"""What is read beside the accounts: lists and sums that must see every acknowledged write."""

import asyncio
import json
import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime

from actors.calls import MOVED, UNAVAILABLE, Call, Envelope, Outcome, Reply
from actors.shards.shard import Shard
from actors.store import HistoryQuery, Reads, StoreError, UsageQuery
from domain.answering import subscription_record
from domain.answers import Answer, SubscriptionRecord, UserSubscriptions
from domain.foreign import read_subscriptions
from domain.hold_answers import open_holds
from domain.ids import shown_id
from domain.local_days import ONE_DAY, midnight
from domain.subscription import Subscription
from domain.values import Policy, UserId

QUERY_SECONDS_MAX = 8.0  # How long a query may wait for the views and the database.

_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")


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
Query = ReadQuery | HoldsQuery | ChangeQuery


def parse_month(text: str) -> tuple[date, date]:
    """Return the first day of a month (YYYY-MM) and the one after its last. ValueError."""
    match = _MONTH.fullmatch(text)
    if not match or not 1970 <= int(match[1]) < 2200:
        raise ValueError("a month is YYYY-MM, from 1970 to 2199")
    first = date(int(match[1]), int(match[2]), 1)
    return first, first.replace(day=monthrange(first.year, first.month)[1]) + ONE_DAY


class Queries:
    """Answers queries about the users of one shard, after their views are written."""

    def __init__(self, shard: Shard, reads: Reads, policy: Policy) -> None:
        self._shard = shard
        self._reads = reads
        self._policy = policy

    async def answer(self, version: int, query: Query) -> Reply:
        """Return the answer to one query. A cursor that is not ours raises ValueError."""
        try:
            async with asyncio.timeout(QUERY_SECONDS_MAX):
                if isinstance(query, ChangeQuery):
                    return await self._change(version, query.call)
                # The account is loaded first: that takes up entries the views may lack.
                status = await self._shard.handle(Envelope(version, status_of=(query.user_id,)))
                if status[0].outcome is not Outcome.DONE:
                    return status[0]
                if isinstance(query, HoldsQuery):
                    return self._holds(query.user_id)
                await self._shard.settle(query.user_id)
                timezone = json.loads(status[0].body or b"")["timezone"]
                answer = await asyncio.to_thread(self._read, query, timezone)
        except (StoreError, TimeoutError):
            return UNAVAILABLE
        return Reply(Outcome.DONE, answer.model_dump_json().encode())

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
        documents = await asyncio.to_thread(self._reads.subscriptions_of, user_id)
        stripe = {shown_id(str(d["_id"])): d.get("stripe") for d in documents}.get(
            record.subscription_id
        )
        record = record.model_copy(update={"stripe": stripe})
        return reply._replace(body=record.model_dump_json().encode())

    def _read(self, query: ReadQuery, timezone: str) -> Answer:
        match query:
            case UsageQuery():
                return self._reads.usage_page(query)
            case MonthQuery(user_id, month):
                first, after = parse_month(month)
                span = (midnight(first, timezone), midnight(after, timezone))
                return self._reads.monthly_usage(user_id, month, span, timezone)
            case SubscriptionsQuery(user_id):
                return self._subscriptions(user_id)
            case HistoryQuery():
                return self._reads.history(query)

    def _subscriptions(self, user_id: UserId) -> UserSubscriptions:
        documents = {str(d["_id"]): d for d in self._reads.subscriptions_of(user_id)}
        readable, _ = read_subscriptions(documents.values(), self._policy.timezone)
        now = self._shard.now()
        return UserSubscriptions(
            user_id=user_id,
            subscriptions=[
                subscription_record(user_id, s, documents[s.subscription_id].get("stripe"), now)
                for s in sorted(readable, key=lambda s: _newest_first(s, now))
            ],
        )


def _newest_first(subscription: Subscription, now: datetime) -> tuple[bool, float]:
    return not subscription.is_current(now), -subscription.start.astimezone(UTC).timestamp()
