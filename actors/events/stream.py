"""How programs follow events: pages from the relay, whatever becomes of its process."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from typing import Protocol

from actors.events.endpoint_reports import EndpointTrial
from actors.events.records import EventPage, EventQuery
from actors.events.reports import EventsReport
from actors.protocol.errors import InvalidRequestError, UnavailableError
from domain.events import EventRecord, EventType
from domain.values import UserId

RETRY_SECONDS = 0.5  # Pause before a relay that is away is asked again,
AWAY_SECONDS_MAX = 60.0  # and how long it may be away.


class EventsWay(Protocol):
    """The way to the relay. Every call may raise UnavailableError."""

    async def place(self, after: str | None, of: UserId | None = None) -> int:
        """Return the place after which events come. UnknownEventError.

        `after`: the id of an event, or a mark. `of`: another user's event is as unknown as one that
        never was. Ids can be computed.
        """

    async def mark(self, order: int, of: UserId | None = None) -> str:
        """Return an id after which a stream goes on as it does from a place: that user's, or all."""

    async def follow(self, query: EventQuery, order: int) -> EventPage:
        """Return the next events after a place, or none after some seconds."""

    async def report(self) -> EventsReport:
        """Return what is undelivered, what is dead, and how the handlers do."""

    async def redeliver(self, event_id: str) -> list[str]:
        """Deliver an event again; return to whom. UnknownEventError."""

    async def try_endpoint(self, endpoint_id: str) -> EndpointTrial:
        """Send one test event to an endpoint, and tell what came of it. UnknownEndpointError."""


async def pages(
    way: EventsWay,
    query: EventQuery,
    order: int,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[EventPage]:
    """Yield pages for ever, empty ones where nothing happens. UnavailableError: away too long."""
    away_since: float | None = None  # Whoever takes its time with a page has nobody away.
    while True:
        try:
            page = await way.follow(query, order)
        except UnavailableError:
            away_since = monotonic() if away_since is None else away_since
            if monotonic() > away_since + AWAY_SECONDS_MAX:
                raise
            await asyncio.sleep(RETRY_SECONDS)
            continue
        away_since, order = None, page.order
        yield page


async def records(
    way: EventsWay, types: Collection[EventType | str], user_id: UserId | None, after: str | None
) -> AsyncIterator[EventRecord]:
    """Yield events for ever. InvalidRequestError: a type or an event that is none."""
    try:
        query = EventQuery(after, frozenset(map(EventType, types)), user_id)
        order = await way.place(after)
    except ValueError as error:
        raise InvalidRequestError(str(error)) from error
    async for page in pages(way, query, order):
        for record in page.events:
            yield record
