"""The operations on events: following them, and what operators read and do about delivery."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Path, Query, Request
from fastapi.responses import StreamingResponse

from actors.api_keys import Scope
from actors.edge.backend import NEEDS_KEY, Backend, allow, authorize
from actors.edge.problems import RequestRefused, make_problem
from actors.edge.responses import problems
from actors.event_reports import EventsReport, Redelivery
from actors.event_stream import EventsWay, pages
from actors.events import EventPage, EventQuery
from actors.failures import OverloadedError, UnavailableError
from domain.events import EventRecord, EventType
from domain.requests import UserIdText
from domain.values import UserId

STREAMS_MAX = 500  # Streams one replica keeps open; beyond this, `overloaded`.
EVENT_ID_LENGTH_MAX = 64
FIRST_WORDS = b"retry: 1000\n\n"
STILL_HERE = b": nothing new\n\n"

EventId = Annotated[str, Path(min_length=1, max_length=EVENT_ID_LENGTH_MAX)]
After = Annotated[str | None, Query(max_length=EVENT_ID_LENGTH_MAX)]


def add_event_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations on events."""
    streams = asyncio.Semaphore(STREAMS_MAX)
    admin: dict[str, Any] = {"dependencies": [Depends(allow(Scope.ADMIN, backend))]}

    @app.get(
        "/events",
        response_class=StreamingResponse,
        responses={
            **problems(),
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        },
        openapi_extra={"security": NEEDS_KEY},
    )
    async def follow_events(
        request: Request,
        types: Annotated[list[str] | None, Query(description="Types; none: all.")] = None,
        user_id: Annotated[UserIdText | None, Query()] = None,
        after: After = None,
        last_event_id: Annotated[str | None, Header(max_length=EVENT_ID_LENGTH_MAX)] = None,
    ) -> StreamingResponse:
        """Send events as they come (server-sent events), each with its id.

        They begin after `Last-Event-ID`, or `after`: the id of an event, or `beginning`; without
        either, with what comes from now on.
        """
        await may_follow(backend, request)
        if streams.locked():
            raise OverloadedError
        query = EventQuery(
            last_event_id or after,
            types_of(types or ()),
            None if user_id is None else UserId(user_id),
        )
        order = await place_of(backend.events, query.after)
        return StreamingResponse(
            sent(backend.events, query, order, streams),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    @app.get("/admin/events", responses=problems(), **admin)
    async def get_events_report() -> EventsReport:
        """Return undelivered and dead events, and how each endpoint does."""
        return await backend.events.report()

    @app.post("/admin/events/{event_id}/redeliver", responses=problems(404), **admin)
    async def redeliver_event(event_id: EventId) -> Redelivery:
        """Deliver an event again: where it is dead, else to everybody who wants it."""
        try:
            endpoints = await backend.events.redeliver(event_id)
        except ValueError:
            title = "There is no such event"
            raise RequestRefused(make_problem("not_found", title)) from None
        return Redelivery(id=event_id, endpoints=endpoints)


def types_of(texts: Sequence[str]) -> frozenset[EventType]:
    """Return the types that a query names, one by one or with commas between them."""
    words = [word.strip() for text in texts for word in text.split(",") if word.strip()]
    try:
        return frozenset(map(EventType, words))
    except ValueError as error:
        title = "The request is not valid"
        problem = make_problem("invalid_request", title, f"types: {error}")
        raise RequestRefused(problem) from None


async def may_follow(backend: Backend, request: Request) -> None:
    """Refuse whoever may not follow events: it takes an admin key."""
    await authorize(backend, request, Scope.ADMIN)


async def place_of(way: EventsWay, after: str | None) -> int:
    """Return the place after which events come, or refuse an id that no event has."""
    try:
        return await way.place(after)
    except ValueError:
        detail = "after: no event has this id, or it is too old"
        title = "The request is not valid"
        raise RequestRefused(make_problem("invalid_request", title, detail)) from None


async def sent(
    way: EventsWay, query: EventQuery, order: int, streams: asyncio.Semaphore
) -> AsyncIterator[bytes]:
    """Yield the text of a stream. Where the relay is away for long it ends: clients resume."""
    async with streams:
        yield FIRST_WORDS
        try:
            async for page in pages(way, query, order):
                yield text_of(page)
        except UnavailableError:
            return


def text_of(page: EventPage) -> bytes:
    """Return a page as server-sent events."""
    return b"".join(map(_text, page.events)) or STILL_HERE


def _text(record: EventRecord) -> bytes:
    return f"id: {record.id}\nevent: {record.type}\ndata: {record.model_dump_json()}\n\n".encode()
