"""What the edge stands on."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from actors.auth.api_keys import KeyRing
from actors.auth.audit import Audit
from actors.auth.key_desk import KeyDesk
from actors.auth.stream_tokens import StreamTokens
from actors.auth.tokens import Tokens
from actors.edge.limits import RateLimit
from actors.edge.turns import Turns
from actors.events.endpoint_desk import EndpointDesk
from actors.events.stream import EventsWay
from actors.janitor.agenda import Agenda
from actors.protocol.errors import ShardLostError, UnavailableError
from actors.protocol.reports import ShardReport, SyncReport
from actors.protocol.store import Overview, StoreError
from actors.routing.operations import Operations
from actors.routing.router import Router
from actors.runtime.clock import TestClock
from actors.runtime.price_list import PriceStore
from actors.runtime.service_settings import ServiceSettingsStore
from actors.stripe.records import StripeStore

HEAD_ONLY = "allotment.head"  # In a request's scope: the caller wants no body of it.
NEEDS_KEY: list[dict[str, list[str]]] = [{"key": []}]
NEEDS_KEY_OR_TOKEN = [*NEEDS_KEY, {"token": []}]
NEEDS_ANY = [*NEEDS_KEY_OR_TOKEN, {"stream": []}]
"""How an operation says in its documentation who may call it."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StripeDesk:
    """What the edge needs to take events: where to keep them, and who may have signed them."""

    store: StripeStore
    secrets: Sequence[str]
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Portal:
    """What an operator decides of the page for users."""

    more_url: str = ""
    """Where "get more" leads; empty: there is no such link."""
    framed_by: Sequence[str] = ()
    """The origins whose pages may frame it."""


class Backend(Protocol):
    """What the edge stands on."""

    router: Router
    turns: Turns
    keys: KeyRing
    key_desk: KeyDesk
    audit: Audit
    tokens: Tokens | None
    streams: StreamTokens
    rate_limit: RateLimit | None
    overview: Overview
    prices: PriceStore
    operations: Operations
    agenda: Agenda
    stripe: StripeDesk
    events: EventsWay
    endpoints: EndpointDesk
    service_settings: ServiceSettingsStore
    origins: tuple[str, ...]
    """The environment's origins of browsers' pages that may call."""
    low_credits_percent: int
    """The environment's threshold of low credits."""
    portal: Portal
    test_clock: TestClock | None
    """None: the clock is the real one, and nobody sets it."""

    async def now(self) -> datetime:
        """Return what the service takes to be the time. StoreError: the clock cannot be read."""

    async def reports(self) -> list[ShardReport]:
        """Return a report of every shard. ShardLostError: one did not answer."""

    async def settle(self) -> None:
        """Wait until the views contain every answered write. ShardLostError: one did not answer."""

    async def sync_report(self) -> SyncReport:
        """Return how RAM follows MongoDB. ShardLostError: the synchronisation does not answer."""

    async def missing(self) -> list[str]:
        """Return which parts of the service do not answer."""


async def find_settled(backend: Backend, look: Callable[[], T | None]) -> T | None:
    """Return what is found in documents; `look` blocks. Raises UnavailableError.

    What was made just now may be in the journal and in no document yet: where nothing is found, the
    documents are brought up to date first.
    """
    try:
        found = await asyncio.to_thread(look)
        if found is None:
            await backend.settle()
            found = await asyncio.to_thread(look)
    except (StoreError, ShardLostError):
        raise UnavailableError from None
    return found
