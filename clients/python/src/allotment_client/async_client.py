"""Allotment over HTTP, for asyncio programs."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

import httpx

from allotment_client import accounts, batches, endpoints, keys, lookups, operators
from allotment_client.accounts import HOLD_SECONDS_DEFAULT
from allotment_client.answers import CreditStatusResponse
from allotment_client.call import (
    TIMEOUT_SECONDS,
    TRIES_MAX,
    Call,
    Limits,
    Pause,
    Reply,
    Send,
    exchange,
)
from allotment_client.following import Following
from allotment_client.holding import AsyncHoldBlock
from allotment_client.lists import EventRecord, UsageRecord
from allotment_client.methods import (
    dice,
    options_of,
    reply_of,
    request_of,
    sent_async,
    stream_of,
)

T = TypeVar("T")

STATUSES_TOGETHER = 16  # Asked for at the same time.


class AsyncAllotment:
    """Allotment for asyncio programs. Every method may raise AllotmentError.

    A method repeats itself, with its own key, where the service was away or busy: it never charges
    twice. TryAgainError means: call again, with the same `key`.
    """

    def __init__(self, http: httpx.AsyncClient, limits: Limits | None = None) -> None:
        self.http = http
        self.limits = limits or Limits()
        self._ending: set[asyncio.Task[Any]] = set()

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        tries_max: int = TRIES_MAX,
    ) -> Self:
        """Return a client of the service at `url` (else ALLOTMENT_URL, ALLOTMENT_API_KEY).

        `timeout_seconds` and `tries_max` hold for every method, its repeats included.
        """
        http = httpx.AsyncClient(**options_of(url, api_key))
        return cls(http, Limits(timeout_seconds, tries_max))

    async def aclose(self) -> None:
        """Wait for what is being settled or released still, and close the connections."""
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send a call until it is answered, or its limits are reached."""
        steps = exchange(call, self.limits, time.monotonic, dice)
        outcome: Reply | Exception | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                answer: T = done.value
                return answer
            outcome = await self._taken(step)

    async def _taken(self, step: Send | Pause) -> Reply | Exception | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return reply_of(await self.http.request(**request_of(step.call, step.seconds)))
        except httpx.RequestError as error:
            return error

    async def finished(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work to its end: in the background if the task that waits for it is cancelled."""
        task = asyncio.ensure_future(work)
        self._ending.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()  # Nobody may be left to look at it.

    check_daily_allocation = sent_async(accounts.check_daily_allocation)
    add_credit = sent_async(accounts.add_credit)
    record_usage = sent_async(accounts.record_usage)
    record_usages = sent_async(batches.record_usages)
    hold = sent_async(accounts.hold)
    settle = sent_async(accounts.settle)
    release = sent_async(accounts.release)
    reverse = sent_async(accounts.reverse)
    adjust = sent_async(accounts.adjust)
    get_usage = sent_async(lookups.get_usage)
    get_monthly_usage = sent_async(lookups.get_monthly_usage)
    get_recent_usage = sent_async(lookups.get_recent_usage)
    get_subscriptions = sent_async(lookups.get_subscriptions)
    get_holds = sent_async(lookups.get_holds)
    make_stream_token = sent_async(lookups.make_stream_token)
    sync = sent_async(operators.sync)
    validate = sent_async(operators.validate)
    anonymize = sent_async(operators.anonymize)
    get_anonymizations = sent_async(operators.get_anonymizations)
    list_subscriptions = sent_async(operators.list_subscriptions)
    get_history = sent_async(operators.get_history)
    change_subscription = sent_async(operators.change_subscription)
    get_sweeps = sent_async(operators.get_sweeps)
    get_shards = sent_async(operators.get_shards)
    get_sync = sent_async(operators.get_sync)
    get_events_report = sent_async(operators.get_events_report)
    redeliver = sent_async(operators.redeliver)
    reshard = sent_async(operators.reshard)
    get_resharding = sent_async(operators.get_resharding)
    reconcile_stripe = sent_async(operators.reconcile_stripe)
    get_stripe_reconciliation = sent_async(operators.get_stripe_reconciliation)
    set_test_clock = sent_async(operators.set_test_clock)
    create_key = sent_async(keys.create_key)
    list_keys = sent_async(keys.list_keys)
    rotate_key = sent_async(keys.rotate_key)
    revoke_key = sent_async(keys.revoke_key)
    get_audit = sent_async(keys.get_audit)
    create_endpoint = sent_async(endpoints.create_endpoint)
    list_endpoints = sent_async(endpoints.list_endpoints)
    change_endpoint = sent_async(endpoints.change_endpoint)
    rotate_endpoint = sent_async(endpoints.rotate_endpoint)
    test_endpoint = sent_async(endpoints.test_endpoint)
    remove_endpoint = sent_async(endpoints.remove_endpoint)
    get_settings = sent_async(endpoints.get_settings)
    change_settings = sent_async(endpoints.change_settings)
    list_users = sent_async(operators.list_users)
    list_refusals = sent_async(operators.list_refusals)
    get_prices = sent_async(operators.get_prices)

    async def check_daily_allocations(self, user_ids: Sequence[str]) -> list[CreditStatusResponse]:
        """Return what many users have today, in their order, one call each. Reads only."""
        turns = asyncio.Semaphore(STATUSES_TOGETHER)

        async def one(user_id: str) -> CreditStatusResponse:
            async with turns:
                return await self.check_daily_allocation(user_id)

        return await asyncio.gather(*map(one, user_ids))

    async def usage(
        self,
        user_id: str,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        limit: int = 100,
    ) -> AsyncIterator[UsageRecord]:
        """Yield usage records, newest first, read in pages of `limit`; `until` is exclusive."""
        cursor = None
        while True:
            page = await self.send(lookups.usage_page(user_id, since, until, limit, cursor))
            for record in page.items:
                yield record
            cursor = page.next_cursor
            if cursor is None:
                return

    async def events(
        self,
        types: Collection[str] = (),
        user_id: str | None = None,
        after: str | None = None,
    ) -> AsyncIterator[EventRecord]:
        """Yield events as they come, without end, each user's in order, over broken streams too.

        They begin after the event whose id is `after`; `"beginning"`: with the oldest that is
        kept; None: from now on. UnavailableError: the service was away for a minute; call again
        with the id of the last event.
        """
        following = Following(types, user_id, after, time.monotonic)
        while True:
            try:
                async with self.http.stream(**stream_of(following)) as response:
                    if response.status_code == 200:
                        async for chunk in response.aiter_bytes():
                            for record in following.heard(chunk):
                                yield record
                        pause = following.lost(None)
                    else:
                        await response.aread()
                        pause = following.refused(reply_of(response))
            except httpx.RequestError as error:
                pause = following.lost(error)
            await asyncio.sleep(pause)

    def holding(
        self,
        user_id: str,
        service_type: str,
        credit_amount: int,
        *,
        expires_in: int = HOLD_SECONDS_DEFAULT,
    ) -> AsyncHoldBlock:
        """Hold credits for a block, which tells its cost with `report`.

        At the end of the block that is settled; where an exception ends it, or nothing was
        reported, the hold is released. Where it cost more than is there, what is there is charged:
        `usage.uncovered_credits` says the rest.
        """
        return AsyncHoldBlock(self, (user_id, service_type, credit_amount), expires_in)
