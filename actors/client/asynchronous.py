"""Allotment for asyncio programs: the shards' handles called directly, with HTTP's types."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Literal, Self

import ray
from pydantic import TypeAdapter, ValidationError

from actors.client.arguments import checked, invalid, user_id_of
from actors.client.corrections import CorrectionMethods
from actors.client.holds import HoldMethods
from actors.events.stream import EventsWay, records
from actors.protocol.calls import PYTHON, Call, body_of, checked_key, make_call
from actors.protocol.errors import AllotmentError, InvalidRequestError
from actors.protocol.queries import (
    RECENT_DAYS,
    RECENT_DAYS_MAX,
    MonthQuery,
    RecentQuery,
    SubscriptionsQuery,
    UsageQuery,
    parse_month,
)
from actors.protocol.reports import AnonymizationReport, RereadReport, SweepReport
from actors.remote.events import RayEvents
from actors.remote.janitor import RayJanitor
from actors.remote.loopback import join
from actors.remote.options import NAMESPACE
from actors.remote.shards import RayShards
from actors.routing.operations import Operations
from actors.routing.router import Router
from domain.api.answers import (
    CreditAdditionResponse,
    CreditStatusResponse,
    UsageRecordResponse,
    UserSubscriptions,
)
from domain.api.credit_requests import AddCreditBody, PaymentBody
from domain.api.requests import BATCH_RECORDS_MAX, BatchedUsageBody, RecordUsageBody
from domain.api.usage_answers import MonthlyUsage, RecentUsage, UsagePage
from domain.charges import OnInsufficient
from domain.events import EventRecord, EventType
from domain.messages import OpenDay
from domain.values import UserId

TIMEOUT_SECONDS = 10.0  # How long a method waits for its answer, repeats included.
STATUSES_TOGETHER = 128  # Answers are read while shards still work on the next so many.
STATUSES = TypeAdapter(list[CreditStatusResponse])


class AsyncAllotment(HoldMethods, CorrectionMethods):
    """Allotment for asyncio programs inside the Ray cluster. Every method may raise AllotmentError.

    A method repeats itself, with its own key, where a shard was lost on the way: it never
    charges twice. UnavailableError and OverloadedError mean: call again, with the same `key`.
    """

    def __init__(
        self, router: Router, operations: Operations, events: EventsWay | None = None
    ) -> None:
        self.router = router
        self.operations = operations
        self.event_way = events or RayEvents()

    @classmethod
    async def connect(
        cls,
        address: str = "auto",
        namespace: str = NAMESPACE,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Self:
        """Join the Ray cluster at `address`. `timeout_seconds` holds for every method.

        For an address other than `auto`, RAY_AUTH_MODE=token must be in the environment before
        ray is imported: else Ray does not send the cluster's token.
        """
        if not ray.is_initialized():
            await asyncio.to_thread(_join, address, namespace)
        shards = RayShards(namespace)
        operations = Operations(shards, RayJanitor(namespace))
        return cls(Router(shards, timeout_seconds), operations, RayEvents(namespace))

    async def check_daily_allocation(self, user_id: str) -> CreditStatusResponse:
        """Return what the user has today. Reads only."""
        reply = await self.router.status(user_id_of(user_id))
        return CreditStatusResponse.model_validate_json(body_of(reply))

    async def check_daily_allocations(self, user_ids: Sequence[str]) -> list[CreditStatusResponse]:
        """Return what many users have today, in their order. Reads only."""
        users = [user_id_of(text) for text in user_ids]
        parts = [users[i : i + STATUSES_TOGETHER] for i in range(0, len(users), STATUSES_TOGETHER)]
        return list(chain(*await asyncio.gather(*map(self._statuses, parts))))

    async def _statuses(self, user_ids: Sequence[UserId]) -> list[CreditStatusResponse]:
        bodies = map(body_of, await self.router.statuses(user_ids))
        return STATUSES.validate_json(b"[" + b",".join(bodies) + b"]")

    async def get_or_create_daily_credits(self, user_id: str) -> CreditStatusResponse:
        """Return what the user has today, with a document of the day in MongoDB."""
        call = make_call(OpenDay(user_id_of(user_id)), None)
        return CreditStatusResponse.model_validate_json(body_of(await self.router.call(call)))

    async def add_credit(  # noqa: PLR0913 - what is bought, and how
        self,
        user_id: str,
        amount: int,
        days: int | None = None,
        payment: PaymentBody | Mapping[str, Any] | None = None,
        *,
        kind: Literal["daily", "pack"] = "daily",
        timezone: str | None = None,
        expires_at: datetime | None = None,
        priority: int | None = None,
        category: Literal["paid", "promotional"] | None = None,
        key: str | None = None,
    ) -> CreditAdditionResponse:
        """Add credits over `days` days from today, or a pack (`kind="pack"`, without `days`).

        A payment is needed, and its transaction counts once a user. `expires_at`, `priority` and
        `category` are a pack's.
        """
        body = checked(
            AddCreditBody,
            user_id=user_id,
            amount=amount,
            days=days,
            kind=kind,
            payment=payment,
            timezone=timezone,
            expires_at=expires_at,
            priority=priority,
            category=category,
        )
        reply = await self.router.call(make_call(body.command(), key))
        return CreditAdditionResponse.model_validate_json(body_of(reply))

    async def record_usage(  # noqa: PLR0913 - the fields of a usage record
        self,
        user_id: str,
        service_type: str,
        credit_amount: int | None = None,
        *,
        token_count: int | None = None,
        tokens: Mapping[str, int] | None = None,
        model_used: str | None = None,
        session_id: str | None = None,
        details: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        on_insufficient: OnInsufficient
        | Literal["reject", "record", "cap"] = OnInsufficient.REJECT,
        key: str | None = None,
    ) -> UsageRecordResponse:
        """Charge credits, today's first, then packs', or raise InsufficientCreditsError.

        Without `credit_amount`: what `token_count`, or `tokens` by kind (`{"input": 900}`), cost by
        the price list.
        """
        body = checked(
            RecordUsageBody,
            user_id=user_id,
            service_type=service_type,
            credit_amount=credit_amount,
            token_count=token_count,
            tokens=tokens,
            model_used=model_used,
            session_id=session_id,
            details=details,
            timestamp=timestamp,
            on_insufficient=on_insufficient,
        )
        reply = await self.router.call(make_call(body.command(), key))
        return UsageRecordResponse.model_validate_json(body_of(reply))

    async def record_usages(
        self,
        records: Sequence[BatchedUsageBody | Mapping[str, Any]],
        *,
        key: str | None = None,
    ) -> list[UsageRecordResponse | AllotmentError]:
        """Charge up to 1000 records, each on its own: an answer or an error, in order.

        A record without an `idempotency_key` of its own has `<key>.<place>`, places counted from 0.
        So `key` has at most 251 characters. Where UnavailableError or OverloadedError is among the
        results: call again with the same records and `key`.
        """
        if not 1 <= len(records) <= BATCH_RECORDS_MAX:
            raise InvalidRequestError(f"a batch has 1 to {BATCH_RECORDS_MAX} records")
        if key is not None:
            checked_key(f"{checked_key(key)}.{BATCH_RECORDS_MAX - 1}")
        results: list[UsageRecordResponse | AllotmentError | None] = [None] * len(records)
        calls: list[Call] = []
        places: list[int] = []
        for place, record in enumerate(records):
            try:
                body = BatchedUsageBody.model_validate(record)
                own_key = body.idempotency_key or (key and f"{key}.{place}")
                calls.append(make_call(body.command(), own_key))
                places.append(place)
            except ValidationError as error:
                results[place] = invalid(error)
        for place, reply in zip(places, await self.router.calls(calls), strict=True):
            try:
                results[place] = UsageRecordResponse.model_validate_json(body_of(reply))
            except AllotmentError as error:
                results[place] = error
        return [result for result in results if result is not None]

    async def get_usage(
        self,
        user_id: str,
        since: datetime,
        until: datetime,
        *,
        limit: int = 100,
        cursor: str | None = None,
    ) -> UsagePage:
        """Return usage records by timestamp, newest first; `until` is exclusive."""
        query = UsageQuery(user_id_of(user_id), since, until, limit, cursor)
        return UsagePage.model_validate_json(await self._query(query))

    async def get_monthly_usage(self, user_id: str, month: str) -> MonthlyUsage:
        """Return the sums of a month (YYYY-MM) of the user's time zone."""
        try:
            parse_month(month)
        except ValueError as error:
            raise InvalidRequestError(str(error)) from error
        query = MonthQuery(user_id_of(user_id), month)
        return MonthlyUsage.model_validate_json(await self._query(query))

    async def get_recent_usage(self, user_id: str, days: int = RECENT_DAYS) -> RecentUsage:
        """Return the sums of the last days of the user's time zone, today among them."""
        if not 1 <= days <= RECENT_DAYS_MAX:
            raise InvalidRequestError(f"days: from 1 to {RECENT_DAYS_MAX}")
        query = RecentQuery(user_id_of(user_id), days)
        return RecentUsage.model_validate_json(await self._query(query))

    async def get_subscriptions(self, user_id: str) -> UserSubscriptions:
        """Return all subscriptions of a user, the current one first."""
        query = SubscriptionsQuery(user_id_of(user_id))
        return UserSubscriptions.model_validate_json(await self._query(query))

    async def events(
        self,
        types: Collection[EventType | str] = (),
        user_id: str | None = None,
        after: str | None = None,
    ) -> AsyncIterator[EventRecord]:
        """Yield events as they come, for ever, each user's in order.

        They begin after the event whose id is `after`; `"beginning"`: with the oldest that is
        kept; None: from now on. UnavailableError: the relay was away for a minute; call again
        with the id of the last event.
        """
        user = None if user_id is None else user_id_of(user_id)
        async for record in records(self.event_way, types, user, after):
            yield record

    async def sync(self, user_id: str | None = None) -> RereadReport:
        """Read one user, or everything in RAM, anew from MongoDB."""
        return await self.operations.reread(None if user_id is None else user_id_of(user_id))

    async def validate(self, *, repair: bool = True) -> SweepReport:
        """Compare RAM with MongoDB and hold the views to their rules, now."""
        return await self.operations.validate(repair=repair)

    async def anonymize(self, user_id: str, *, key: str | None = None) -> AnonymizationReport:
        """Put a random id in the place of a user's in everything that is stored, for ever.

        GoesOnError: it takes longer than this call may, and goes on. Call again, with the same `key`.
        """
        key = None if key is None else checked_key(key)
        done = await self.operations.anonymize(user_id_of(user_id), PYTHON, key)
        return done.report

    async def check_and_update_expired_subscriptions(self) -> SweepReport:
        """Write down which subscriptions have ended, now; the report counts `expired`."""
        return await self.operations.expire()

    async def _query(
        self, query: UsageQuery | MonthQuery | RecentQuery | SubscriptionsQuery
    ) -> bytes:
        try:
            return body_of(await self.router.query(query))
        except ValueError as error:
            raise InvalidRequestError(str(error)) from error


def _join(address: str, namespace: str) -> None:
    join(address, namespace=namespace, log_to_driver=False)
