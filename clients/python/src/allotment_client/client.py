"""Allotment over HTTP, for programs that block."""

import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Self, TypeVar

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
from allotment_client.holding import HoldBlock
from allotment_client.lists import EventRecord, UsageRecord
from allotment_client.methods import dice, options_of, reply_of, request_of, sent, stream_of

T = TypeVar("T")


class Allotment:
    """Allotment for programs that block. Every method may raise AllotmentError.

    A method repeats itself, with its own key, where the service was away or busy: it never charges
    twice. TryAgainError means: call again, with the same `key`. It may be shared by threads.
    """

    def __init__(self, http: httpx.Client, limits: Limits | None = None) -> None:
        self.http = http
        self.limits = limits or Limits()

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
        return cls(httpx.Client(**options_of(url, api_key)), Limits(timeout_seconds, tries_max))

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, call: Call[T]) -> T:
        """Send a call until it is answered, or its limits are reached."""
        steps = exchange(call, self.limits, time.monotonic, dice)
        outcome: Reply | Exception | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                answer: T = done.value
                return answer
            outcome = self._taken(step)

    def _taken(self, step: Send | Pause) -> Reply | Exception | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            return reply_of(self.http.request(**request_of(step.call, step.seconds)))
        except httpx.RequestError as error:
            return error

    check_daily_allocation = sent(accounts.check_daily_allocation)
    add_credit = sent(accounts.add_credit)
    record_usage = sent(accounts.record_usage)
    record_usages = sent(batches.record_usages)
    hold = sent(accounts.hold)
    settle = sent(accounts.settle)
    release = sent(accounts.release)
    reverse = sent(accounts.reverse)
    adjust = sent(accounts.adjust)
    get_usage = sent(lookups.get_usage)
    get_monthly_usage = sent(lookups.get_monthly_usage)
    get_recent_usage = sent(lookups.get_recent_usage)
    get_subscriptions = sent(lookups.get_subscriptions)
    get_holds = sent(lookups.get_holds)
    make_stream_token = sent(lookups.make_stream_token)
    sync = sent(operators.sync)
    validate = sent(operators.validate)
    anonymize = sent(operators.anonymize)
    get_anonymizations = sent(operators.get_anonymizations)
    list_subscriptions = sent(operators.list_subscriptions)
    get_history = sent(operators.get_history)
    change_subscription = sent(operators.change_subscription)
    get_sweeps = sent(operators.get_sweeps)
    get_shards = sent(operators.get_shards)
    get_sync = sent(operators.get_sync)
    get_events_report = sent(operators.get_events_report)
    redeliver = sent(operators.redeliver)
    reshard = sent(operators.reshard)
    get_resharding = sent(operators.get_resharding)
    reconcile_stripe = sent(operators.reconcile_stripe)
    get_stripe_reconciliation = sent(operators.get_stripe_reconciliation)
    set_test_clock = sent(operators.set_test_clock)
    create_key = sent(keys.create_key)
    list_keys = sent(keys.list_keys)
    rotate_key = sent(keys.rotate_key)
    revoke_key = sent(keys.revoke_key)
    get_audit = sent(keys.get_audit)
    create_endpoint = sent(endpoints.create_endpoint)
    list_endpoints = sent(endpoints.list_endpoints)
    change_endpoint = sent(endpoints.change_endpoint)
    rotate_endpoint = sent(endpoints.rotate_endpoint)
    test_endpoint = sent(endpoints.test_endpoint)
    remove_endpoint = sent(endpoints.remove_endpoint)
    get_settings = sent(endpoints.get_settings)
    change_settings = sent(endpoints.change_settings)
    list_users = sent(operators.list_users)
    list_refusals = sent(operators.list_refusals)
    get_prices = sent(operators.get_prices)

    def check_daily_allocations(self, user_ids: Sequence[str]) -> list[CreditStatusResponse]:
        """Return what many users have today, in their order, one call each. Reads only."""
        return [self.check_daily_allocation(user_id) for user_id in user_ids]

    def usage(
        self,
        user_id: str,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        limit: int = 100,
    ) -> Iterator[UsageRecord]:
        """Yield usage records, newest first, read in pages of `limit`; `until` is exclusive."""
        cursor = None
        while True:
            page = self.send(lookups.usage_page(user_id, since, until, limit, cursor))
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def events(
        self,
        types: Collection[str] = (),
        user_id: str | None = None,
        after: str | None = None,
    ) -> Iterator[EventRecord]:
        """Yield events as they come, without end, each user's in order, over broken streams too.

        They begin after the event whose id is `after`; `"beginning"`: with the oldest that is
        kept; None: from now on. UnavailableError: the service was away for a minute; call again
        with the id of the last event.
        """
        following = Following(types, user_id, after, time.monotonic)
        while True:
            try:
                with self.http.stream(**stream_of(following)) as response:
                    if response.status_code == 200:
                        for chunk in response.iter_bytes():
                            yield from following.heard(chunk)
                        pause = following.lost(None)
                    else:
                        response.read()
                        pause = following.refused(reply_of(response))
            except httpx.RequestError as error:
                pause = following.lost(error)
            time.sleep(pause)

    def holding(
        self,
        user_id: str,
        service_type: str,
        credit_amount: int,
        *,
        expires_in: int = HOLD_SECONDS_DEFAULT,
    ) -> HoldBlock:
        """Hold credits for a block, which tells its cost with `report`.

        At the end of the block that is settled; where an exception ends it, or nothing was
        reported, the hold is released. Where it cost more than is there, what is there is charged:
        `usage.uncovered_credits` says the rest.
        """
        return HoldBlock(self, (user_id, service_type, credit_amount), expires_in)
