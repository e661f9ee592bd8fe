"""Stream tokens over HTTP: what they open, how long, and that they open nothing else."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import quote

import httpx
import pytest

from actors.auth import api_keys
from actors.auth.api_keys import ApiKey
from actors.auth.caller import Caller, Scope
from actors.auth.stream_tokens import BEGIN_SECONDS_MAX, STREAM_SECONDS_MAX, StreamTokens
from actors.auth.tokens import Tokens
from actors.edge.app import build_app
from actors.edge.routes.events import while_in_force
from tests.builders.authors import NOON
from tests.builders.tokens import RULES, token
from tests.fakes.edge import CREDITS, LocalBackend, OneShard, edge
from tests.fakes.interface import Listening, listening
from tests.fakes.memory_keys import Keys, made
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import Clock, in_loop, running
from tests.fakes.stream_secret import StreamSecret
from tests.patience import PATIENCE_SECONDS

ADA = {"user_id": "ada"}


class World:
    """The interface with keys and a clock of the test's own."""

    def __init__(self, backend: LocalBackend, keys: Keys, http: httpx.AsyncClient) -> None:
        self.backend, self.keys, self.http = backend, keys, http
        self.clock = Clock(datetime.now(UTC))
        backend.tokens = Tokens(RULES)
        backend.streams = StreamTokens(StreamSecret(), self.clock)

    async def make(self, shown: str, body: dict[str, str] | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {shown}"}
        return await self.http.post("/events/token", json=body, headers=headers)

    async def text(self, shown: str, body: dict[str, str] | None = None) -> str:
        answer = await self.make(shown, body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    async def noticed(self, key: ApiKey) -> None:
        """Wait until this process knows that a key was revoked."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.backend.keys.is_in_force(f"key:{key.key_id}"):
                await asyncio.sleep(0)

    async def begin(self, text: str, **changes: str) -> int:
        """Return what a stream would be answered: HEAD of it ends."""
        return (await self.http.head("/events", params={"token": text, **changes})).status_code


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    store, keys = MemoryStore(), Keys()
    async with running(store, clock=Clock(NOON)) as shard:
        backend = LocalBackend(OneShard(shard, store), keys)
        transport = httpx.ASGITransport(build_app(backend))
        relaying = asyncio.create_task(backend.relay.run())
        async with httpx.AsyncClient(transport=transport, base_url="http://edge") as http:
            yield World(backend, keys, http)
        relaying.cancel()
        await asyncio.wait([relaying])


@pytest.mark.parametrize("maker", ["write", "admin", "token", "token, named"])
@in_loop
async def test_users_and_keys_that_may_write_make_a_token_that_begins_that_users_stream(
    maker: str,
) -> None:
    async with world() as it:
        is_user = maker.startswith("token")
        shown = token() if is_user else made(it.keys, Scope[maker.upper()])[0]
        answer = await it.make(shown, None if maker == "token" else ADA)
        begun = [await it.begin(answer.json()["token"], **named) for named in ({}, ADA)]

    told = answer.json()
    assert (answer.status_code, told["user_id"]) == (201, "ada")
    assert told["stream_seconds"] == STREAM_SECONDS_MAX
    seconds = (datetime.fromisoformat(told["expires_at"]) - it.clock.now).total_seconds()
    assert seconds == pytest.approx(BEGIN_SECONDS_MAX, abs=1)
    assert answer.headers["cache-control"] == "no-store"
    assert begun == [200, 200]


@in_loop
async def test_what_cannot_be_made_is_refused() -> None:
    async with world() as it:
        admin = made(it.keys, Scope.ADMIN)[0]
        answers = [
            await it.make(token(), {"user_id": "bob"}),
            await it.make(made(it.keys, Scope.READ)[0], ADA),
            await it.make("nobody's", ADA),
            await it.make(admin),
            await it.make(admin, {"user_id": "a b"}),
            await it.make(await it.text(admin, ADA), ADA),
        ]

    assert [one.status_code for one in answers] == [403, 403, 401, 422, 422, 401]


WORTHLESS: dict[str, Callable[[str], str]] = {
    "cut": lambda text: text[:-1],
    "changed": lambda text: text[:10] + ("A" if text[10] != "A" else "B") + text[11:],
    "signed by nobody": lambda text: text.partition(".")[0] + "." + "0" * 64,
    "empty": lambda _: "",
    "a user's own token": lambda _: token(),
}


@pytest.mark.parametrize("kind", [*WORTHLESS, "expired", "an api key"])
@in_loop
async def test_a_worthless_token_begins_nothing(kind: str) -> None:
    async with world() as it:
        key = made(it.keys, Scope.ADMIN)[0]
        text = await it.text(key, ADA)
        if kind == "expired":
            it.clock.advance(seconds=BEGIN_SECONDS_MAX)
        shown = key if kind == "an api key" else WORTHLESS.get(kind, str)(text)
        answer = await it.http.get("/events", params={"token": shown})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert text not in answer.text


@in_loop
async def test_it_reads_no_other_users_events() -> None:
    async with world() as it:
        text = await it.text(made(it.keys, Scope.ADMIN)[0], ADA)
        others = await it.http.get("/events", params={"token": text, "user_id": "bob"})
        places = [await it.begin(text, after=after) for after in ("evt_none", "at_0")]

    assert (others.status_code, others.json()["code"]) == (403, "forbidden")
    assert places == [422, 422]


@in_loop
async def test_beside_another_token_or_a_key_nobody_says_which_is_meant() -> None:
    async with world() as it:
        key = made(it.keys, Scope.ADMIN)[0]
        text = quote(await it.text(key, ADA))
        headers = {"Authorization": f"Bearer {key}"}
        answers = [
            await it.http.get(f"/events?token={text}&token={text}"),
            await it.http.get(f"/events?token={text}&%74oken={text}"),
            await it.http.get(f"/events?token={text}", headers=headers),
        ]

    assert [one.status_code for one in answers] == [401] * 3


@in_loop
async def test_no_other_route_takes_it_however_it_is_shown() -> None:
    async with world() as it:
        gate = build_app(it.backend)
        text = await it.text(made(it.keys, Scope.ADMIN)[0], ADA)
        document = (await it.http.get("/openapi.json")).json()
        found: dict[str, int] = {}
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if operation["security"] == []:
                    continue
                address = path.replace("{user_id}", "ada").replace("{", "").replace("}", "")
                for way in ("address", "header", "both"):
                    is_stream = (method, path, way) == ("get", "/events", "address")
                    if is_stream:
                        continue
                    query = {"user_id": "ada", "month": "2026-03"}
                    query |= {} if way == "header" else {"token": text}
                    headers = {} if way == "address" else {"Authorization": f"Bearer {text}"}
                    answer = await it.http.request(method, address, params=query, headers=headers)
                    found[f"{method} {path} {way}"] = answer.status_code

    assert gate.routes
    assert len(found) > 60
    assert {name: status for name, status in found.items() if status != 401} == {}


@in_loop
async def test_an_ended_key_ends_its_tokens_and_the_streams_that_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api_keys, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(api_keys, "UNKNOWN_REFRESH_SECONDS", 0.0)
    async with world() as it:
        text, key = made(it.keys, Scope.WRITE)
        stream_token = await it.text(text, ADA)
        follower = await it.backend.streams.caller_of(stream_token)
        assert follower is not None
        parts = while_in_force(it.backend, follower, endless())
        assert await anext(parts) == b"0"

        it.keys.revoke(key.key_id, NOON)
        await it.noticed(key)
        begun = await it.begin(stream_token)
        rest = [part async for part in parts]

    assert begun == 401
    assert rest == []


async def endless() -> AsyncIterator[bytes]:
    for number in itertools.count():
        yield str(number).encode()


@pytest.mark.parametrize("kind", ["stream token", "user's token"])
@in_loop
async def test_a_stream_ends_when_what_began_it_does(kind: str) -> None:
    async with world() as it:
        caller: Caller | None
        if kind == "stream token":
            text = await it.text(made(it.keys, Scope.WRITE)[0], ADA)
            caller = await it.backend.streams.caller_of(text)
        else:
            caller = await Tokens(RULES).caller_of(token())
        assert caller is not None
        assert caller.ends_at is not None
        parts = while_in_force(it.backend, caller, endless())
        first = await anext(parts)
        it.clock.now = caller.ends_at
        rest = [part async for part in parts]

    assert (first, rest) == (b"0", [])


@in_loop
async def test_a_revoked_admin_key_follows_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "UNKNOWN_REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(api_keys, "REFRESH_SECONDS", 0.0)
    async with world() as it:
        text, key = made(it.keys, Scope.ADMIN)
        caller = await it.backend.keys.caller_of(text)
        assert caller is not None
        parts = while_in_force(it.backend, caller, endless())
        assert await anext(parts) == b"0"
        it.keys.revoke(key.key_id, NOON)
        await it.noticed(key)
        rest = [part async for part in parts]

    assert rest == []


@in_loop
async def test_where_the_secret_cannot_be_had_it_is_to_be_tried_again() -> None:
    secret = StreamSecret()
    async with edge() as (http, backend):
        backend.streams = StreamTokens(secret)
        secret.away = True
        answers = [
            await http.post("/events/token", json=ADA),
            await http.get(
                "/events", params={"token": "stream_x.y"}, headers={"Authorization": ""}
            ),
        ]
        del http.headers["Authorization"]
        shown = await http.get("/events", params={"token": "stream_x.y"})

    assert [one.status_code for one in (answers[0], shown)] == [503, 503]
    assert "Retry-After" in shown.headers


def follow(
    interface: Listening, text: str, count: int, headers: dict[str, str], **params: str
) -> list[tuple[str, str]]:
    """Return the ids of a stream and the types of their events; "": it only says where it begins."""
    seen: list[tuple[str, str]] = []
    block: dict[str, str] = {}
    url = f"{interface.address}/events"
    query = {"token": text, **params}
    with httpx.stream("GET", url, params=query, headers=headers, timeout=20) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name:
                block[name] = value
            elif "id" in block:
                seen.append((block["id"], block.get("event", "")))
                block = {}
            if len(seen) == count:
                break
    return seen


def test_over_a_real_socket_a_stream_is_followed_and_resumed_without_any_header(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        listening() as interface,
        httpx.Client(base_url=interface.address, headers=interface.headers()) as http,
    ):
        http.post("/subscription/credits", json=CREDITS).raise_for_status()
        http.post("/subscription/credits", json=CREDITS | {"user_id": "bob"})
        text = http.post("/events/token", json=ADA).json()["token"]
        (new,) = follow(interface, text, 1, {})
        began = follow(interface, text, 1, {}, after="beginning")
        made = http.post("/events/token", json=ADA).json()
        charge = {"user_id": "ada", "service_type": "chat", "credit_amount": 90}
        http.post("/subscription/usage", json=charge).raise_for_status()
        resumed = follow(interface, text, 1, {"Last-Event-ID": began[0][0]})
        since_made = follow(interface, text, 1, {}, after=made["after"])
        refused = httpx.get(f"{interface.address}/events", params={"token": text[:-1]})

    assert (new[0].split("_")[0], new[1]) == ("own", "")
    assert [kind for _, kind in (*began, *resumed)] == [
        "subscription.changed",
        "subscription.low_credits",
    ]
    assert refused.status_code == 401
    assert since_made == resumed
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith(("httpx", "httpcore"))]
    assert not [line for line in ours if text[:-1] in line]
