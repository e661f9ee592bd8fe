"""The operations on events: following them, and what operators read and do about delivery."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import FastAPI, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from actors.auth.caller import Caller, Scope
from actors.edge.backend import HEAD_ONLY, NEEDS_ANY, Backend
from actors.edge.callers import ADMIN, caller_of, require_reading
from actors.edge.credentials import is_in_force
from actors.edge.problems import RequestRefused, invalid, make_problem
from actors.edge.responses import problems
from actors.edge.routes.stripe_webhook import stripe_events
from actors.edge.streams import CountedStream, StreamPlaces
from actors.events.records import EventPage, EventQuery
from actors.events.reports import EventsReport, Redelivery
from actors.events.stream import EventsWay, pages
from actors.protocol.errors import UnavailableError
from actors.protocol.store import StoreError
from domain.api.requests import UserIdText
from domain.events import EventRecord, EventType
from domain.values import UserId

EVENT_ID_LENGTH_MAX = 64
EVENT_STREAM = "text/event-stream"
STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
FIRST_WORDS = "retry: 1000\n"
STILL_HERE = b": nothing new\n\n"


EventId = Annotated[
    str,
    Path(
        alias="id", min_length=1, max_length=EVENT_ID_LENGTH_MAX, description="The id of the event."
    ),
]
After = Annotated[str | None, Query(max_length=EVENT_ID_LENGTH_MAX)]


def add_event_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations on events."""
    _add_following(app, backend)
    _add_delivery(app, backend)


def _add_following(app: FastAPI, backend: Backend) -> None:
    places = StreamPlaces()

    @app.get(
        "/events",
        response_class=StreamingResponse,
        responses={
            **problems(),
            200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}},
        },
        openapi_extra={"security": NEEDS_ANY},
    )
    async def follow_events(
        request: Request,
        types: Annotated[list[str] | None, Query(description="Types; none: all.")] = None,
        user_id: Annotated[UserIdText | None, Query()] = None,
        after: After = None,
        last_event_id: Annotated[str | None, Header(max_length=EVENT_ID_LENGTH_MAX)] = None,
    ) -> Response:
        """Send events as they come (server-sent events), each with its id.

        They begin after `Last-Event-ID`, or `after`: the id of an event, or `beginning`; without
        either, with what comes from now on, and say at once, before any event, after which id. A
        user's token follows that user's.

        A user's tokens have 10 streams open at one replica, and a key 100; one more is 429.
        """
        whose = followed_by(request, user_id)
        query = EventQuery(
            last_event_id or after,
            types_of(types or ()),
            whose,
        )
        caller = caller_of(request)
        own = None if caller.has_for_all(Scope.ADMIN) else whose
        if HEAD_ONLY in request.scope:  # A stream would have no end.
            await place_of(backend.events, query.after, own)
            return Response(media_type=EVENT_STREAM, headers=STREAM_HEADERS)
        give_back = places.take(caller)
        try:
            order = await place_of(backend.events, query.after, own)
            # Who has said where to begin knows it.
            began = None if query.after else await backend.events.mark(order, own)
        except BaseException:
            give_back()
            raise
        stream = while_in_force(backend, caller, sent(backend.events, query, order, began))
        return CountedStream(give_back, stream, media_type=EVENT_STREAM, headers=STREAM_HEADERS)


def _add_delivery(app: FastAPI, backend: Backend) -> None:
    @app.get("/admin/events", responses=problems(), **ADMIN)
    async def get_events_report() -> EventsReport:
        """Return undelivered and dead events, and how each endpoint does."""
        report = await backend.events.report()
        try:
            stripe, waiting = await stripe_events(backend.stripe.store)
        except StoreError:
            raise UnavailableError from None
        return report.model_copy(update={"stripe": stripe, "stripe_waiting": waiting})

    @app.post(
        "/admin/events/{id:segment}/redeliver",  # noqa: FAST003 - it is an alias
        responses=problems(404),
        **ADMIN,
    )
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
        raise RequestRefused(invalid("types", str(error))) from None


def followed_by(request: Request, user_id: str | None) -> UserId | None:
    """Return whose events a caller follows; None: everybody's, which takes an admin key."""
    caller = caller_of(request)
    wanted = caller.user_id if user_id is None else UserId(user_id)
    if not caller.has(Scope.ADMIN) and (wanted is None or caller.user_id != wanted):
        title = "Events need an admin key, or the user's own token"
        raise RequestRefused(make_problem("forbidden", title))
    if wanted is not None:
        require_reading(request, wanted, of_services=True)
    elif not caller.has_for_all(Scope.ADMIN):
        title = "A key that is limited follows one user's events: name the user_id"
        raise RequestRefused(make_problem("forbidden", title))
    return wanted


async def place_of(way: EventsWay, after: str | None, of: UserId | None) -> int:
    """Return the place after which events come, or refuse an id that no event (of a user) has."""
    try:
        return await way.place(after, of)
    except ValueError:
        raise RequestRefused(invalid("after", "no event has this id, or it is too old")) from None


async def sent(
    way: EventsWay, query: EventQuery, order: int, began: str | None
) -> AsyncIterator[bytes]:
    """Yield the text of a stream. It says first after which id it `began`; None: its client knows.

    So what happens before its first event is not missed where it breaks. Where the relay is away for long it ends: clients resume.
    """
    place = "" if began is None else f"id: {began}\n"
    yield f"{FIRST_WORDS}{place}\n".encode()
    try:
        async for page in pages(way, query, order):
            yield text_of(page)
    except UnavailableError:
        return


async def while_in_force(
    backend: Backend, caller: Caller, stream: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """Yield a stream until its caller's key or token counts no more: looked at before each part."""
    async for text in stream:
        try:
            counts = await is_in_force(backend, caller)
        except StoreError:
            counts = False  # Who may follow resumes when it can be told.
        if not counts:
            return
        yield text


def text_of(page: EventPage) -> bytes:
    """Return a page as server-sent events."""
    return b"".join(map(_text, page.events)) or STILL_HERE


def _text(record: EventRecord) -> bytes:
    return f"id: {record.id}\nevent: {record.type}\ndata: {record.model_dump_json()}\n\n".encode()
