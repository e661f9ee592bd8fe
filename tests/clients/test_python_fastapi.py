"""FastAPI's dependency: held before, settled after, released where nothing came of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import pytest
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

import allotment_client
from allotment_client.errors import InsufficientCreditsError
from allotment_client.fastapi import Credits, RequestHold
from allotment_client.problems import limit_headers
from bench.processes import free_port
from tests.clients.faces import PAYMENT
from tests.fakes.edge import edge
from tests.fakes.shards import in_loop


@dataclass
class Application:
    """An application with credits, and the service behind it."""

    allotment: allotment_client.AsyncAllotment
    service: httpx.AsyncClient
    app: FastAPI = field(default_factory=FastAPI)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)
    holds: list[RequestHold] = field(default_factory=list)

    async def books(self) -> tuple[int, int, int]:
        """Return what is used, held and left."""
        shown = await self.allotment.check_daily_allocation("ada")
        return shown.credits_used, shown.credits_held, shown.remaining_credits

    async def until(self, books: tuple[int, int, int]) -> None:
        while await self.books() != books:
            await asyncio.sleep(0.005)


def current_user(x_user: Annotated[str, Header()] = "ada") -> str:
    return x_user


async def size_of(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


def add_handlers(it: Application) -> None:
    hold_credits = Credits(it.allotment, user=current_user, service_type="chat")
    hold_credits.install(it.app)
    held = hold_credits(20)
    add_quick(it, held)
    add_slow(it, held)


def add_quick(it: Application, held: Any) -> None:
    @it.app.post("/work")
    async def work(
        hold: Annotated[RequestHold, Depends(held)], cost: int | None = None, fails: bool = False
    ) -> dict[str, int]:
        it.holds.append(hold)
        it.entered.set()
        if cost is not None:
            hold.report(cost, token_count=7)
        if fails:
            raise HTTPException(418, "no")
        return {"held": hold.credit_amount}

    @it.app.post("/blocking")
    def blocking(hold: Annotated[RequestHold, Depends(held)], cost: int) -> None:
        hold.report(cost)

    @it.app.post("/consumed")  # As a form is.
    async def consumed(
        size: Annotated[int, Depends(size_of)], hold: Annotated[RequestHold, Depends(held)]
    ) -> int:
        hold.report(1)
        return size

    @it.app.post("/raw")
    async def raw(hold: Annotated[RequestHold, Depends(held)], request: Request) -> int:
        hold.report(1)
        return await size_of(request)


def add_slow(it: Application, held: Any) -> None:
    @it.app.post("/slow")
    async def slow(
        hold: Annotated[RequestHold, Depends(held)], body: dict[str, Any], late: int | None = None
    ) -> None:
        it.entered.set()
        await it.may_go_on.wait()
        if late is not None:
            hold.report(late)

    @it.app.post("/stream")
    async def stream(hold: Annotated[RequestHold, Depends(held)]) -> StreamingResponse:
        async def words() -> AsyncIterator[str]:
            for number in range(1, 1000):
                hold.report(number)
                yield "word "
                if number == 3:
                    it.entered.set()
                    await it.may_go_on.wait()

        return StreamingResponse(words(), headers=hold.headers)


@contextlib.asynccontextmanager
async def application() -> AsyncIterator[tuple[Application, httpx.AsyncClient]]:
    """Yield an application whose user has 90 credits today, and a client of it."""
    async with edge() as (service, _):
        it = Application(allotment_client.AsyncAllotment(service), service)
        add_handlers(it)
        await it.allotment.add_credit("ada", 3000, 30, PAYMENT)
        transport = httpx.ASGITransport(it.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            yield it, client


@contextlib.asynccontextmanager
async def served(it: Application) -> AsyncIterator[str]:
    """Yield the address of an application on a real socket."""
    config = uvicorn.Config(it.app, port=free_port(), lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{config.port}"
    it.may_go_on.set()
    server.should_exit = True
    await serving


@in_loop
async def test_what_is_reported_is_settled_and_what_is_left_is_told() -> None:
    async with application() as (it, client):
        answer = await client.post("/work", params={"cost": 12})
        await client.post("/blocking", params={"cost": 5})
        books = await it.books()

    assert (answer.status_code, answer.json()) == (200, {"held": 20})
    assert answer.headers["RateLimit"] == '"credits";r=70'
    assert books == (17, 0, 73)
    usage = it.holds[0].usage
    assert usage is not None
    assert (usage.service_type, usage.token_count) == ("chat", 7)


@pytest.mark.parametrize("params", [{}, {"fails": True}, {"cost": 12, "fails": True}])
@in_loop
async def test_a_handler_that_fails_or_reports_nothing_releases(params: dict[str, Any]) -> None:
    async with application() as (it, client):
        answer = await client.post("/work", params=params)
        books = await it.books()

    assert answer.status_code == (418 if "fails" in params else 200)
    assert books == (0, 0, 90)


@in_loop
async def test_too_few_credits_are_a_problem_body_with_when_there_are_enough() -> None:
    async with application() as (it, client):
        await it.allotment.record_usage("ada", "chat", 80)
        short = await client.post("/work")
        nobody = await client.post("/work", headers={"X-User": "eve"})

    assert (short.status_code, short.headers["content-type"]) == (402, "application/problem+json")
    assert short.json()["code"] == "insufficient_credits"
    assert (short.json()["limit"], short.json()["remaining_credits"]) == ("daily", 10)
    assert short.headers["RateLimit"] == '"credits";r=10;t=43200'
    assert short.headers["Retry-After"] == "43200"
    assert (nobody.status_code, nobody.json()["code"]) == (402, "no_active_subscription")
    assert nobody.headers["RateLimit"] == '"credits";r=0'
    assert "Retry-After" not in nobody.headers
    assert not it.entered.is_set()


def test_a_refusal_of_days_to_come_says_when_but_not_to_wait() -> None:
    body = {"type": "", "title": "t", "status": 402, "detail": "d", "code": "insufficient_credits"}
    facts = {"limit": "daily", "remaining_credits": -5, "required_credits": 9}
    error = InsufficientCreditsError(
        problem=body | facts | {"available_at": "2026-03-14T00:00:00Z"}
    )

    headers = limit_headers(error, datetime(2026, 3, 12, tzinfo=UTC))

    assert headers == {"RateLimit": '"credits";r=0;t=172800'}


@in_loop
async def test_the_applications_own_failures_are_not_its_clients() -> None:
    async with application() as (it, client):
        it.service.headers["Authorization"] = "Bearer wrong"
        wrong_key = await client.post("/work")
        it.allotment.limits = allotment_client.call.Limits(tries_max=1)
        it.service.base_url = httpx.URL("http://allotment")
        it.allotment.http = httpx.AsyncClient(base_url="http://127.0.0.1:9")
        away = await client.post("/work")

    assert (wrong_key.status_code, wrong_key.json()["code"]) == (500, "internal_error")
    assert (away.status_code, away.json()["code"]) == (503, "overloaded")
    assert away.headers["Retry-After"] == "1"


async def go_away(address: str, path: str, it: Application, **params: Any) -> None:
    """Send a request, and close the connection once its handler is under way."""
    async with httpx.AsyncClient(base_url=address) as client:
        asking = asyncio.create_task(client.post(path, params=params, json={"a": 1}))
        await it.entered.wait()
        asking.cancel()
        await asyncio.wait([asking])


@in_loop
async def test_a_client_that_goes_away_gives_its_hold_back_within_a_second() -> None:
    async with application() as (it, _), served(it) as address:
        await go_away(address, "/slow", it)
        async with asyncio.timeout(1):
            await it.until((0, 0, 90))
        it.may_go_on.set()

    assert not it.holds


@in_loop
async def test_work_that_is_done_for_a_client_that_has_gone_is_charged() -> None:
    async with application() as (it, _), served(it) as address:
        await go_away(address, "/slow", it, late=12)
        await it.until((0, 0, 90))
        it.may_go_on.set()
        await it.until((12, 0, 78))


@in_loop
async def test_a_stream_that_is_left_is_settled_at_what_was_sent() -> None:
    async with application() as (it, _), served(it) as address:
        async with (
            httpx.AsyncClient(base_url=address) as client,
            client.stream("POST", "/stream") as answer,
        ):
            assert answer.headers["RateLimit"] == '"credits";r=70'
            await it.entered.wait()
        await it.until((3, 0, 87))


@in_loop
async def test_a_stream_whose_server_raises_when_the_client_has_gone_is_settled_as_well() -> None:
    async with application() as (it, _):
        sent = 0

        async def receive() -> dict[str, Any]:
            if sent:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            nonlocal sent
            sent += message["type"] == "http.response.body"
            if sent == 3:
                raise OSError("the client has gone")

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "POST",
            "path": "/stream",
            "query_string": b"",
            "headers": [],
        }
        it.may_go_on.set()
        with pytest.raises(ClientDisconnect):
            await it.app(scope, receive, send)
        books = await it.books()

    assert books == (3, 0, 87)


@in_loop
async def test_bodies_of_all_kinds_reach_their_handlers() -> None:
    async with application() as (it, client):
        consumed = await client.post("/consumed", content=b"1234")
        raw = await client.post("/raw", content=b"12345")
        books = await it.books()

    assert (consumed.json(), raw.json(), books) == (4, 5, (2, 0, 88))
