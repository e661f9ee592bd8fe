"""How many event streams a caller may have: nobody takes those of others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from actors.auth.caller import Caller, Scope
from actors.edge.problems import RequestRefused
from actors.edge.streams import (
    STREAMS_FOR_ADMINS,
    STREAMS_MAX,
    STREAMS_OF_A_KEY,
    STREAMS_OF_A_USER,
    CountedStream,
    StreamPlaces,
)
from actors.protocol.errors import OverloadedError
from domain.values import UserId
from tests.builders.tokens import token
from tests.fakes.interface import listening
from tests.fakes.shards import in_loop
from tests.patience import PATIENCE_SECONDS
from tests.service.running import wait_until

PAGE_SECONDS_MAX = PATIENCE_SECONDS


def user(name: str) -> Caller:
    return Caller(f"user:{name}", None, UserId(name))


def key(name: str) -> Caller:
    return Caller(f"key:{name}", Scope.ADMIN)


@pytest.mark.parametrize(
    ("caller", "share"), [(user("ada"), STREAMS_OF_A_USER), (key("k"), STREAMS_OF_A_KEY)]
)
def test_a_caller_has_its_share_and_others_have_theirs(caller: Caller, share: int) -> None:
    places = StreamPlaces()
    give_back = [places.take(caller) for _ in range(share)]

    with pytest.raises(RequestRefused) as refused:
        places.take(caller)
    places.take(user("bob"))
    places.take(key("other"))

    assert (refused.value.problem.status, refused.value.problem.code) == (429, "rate_limited")
    assert "Retry-After" in (refused.value.headers or {})
    give_back[0]()
    places.take(caller)


def test_a_place_is_given_back_once_and_nobody_is_remembered() -> None:
    places = StreamPlaces()
    first, second = places.take(user("ada")), places.take(user("ada"))

    first()
    first()
    assert places.count == 1
    second()

    assert places.count == 0
    assert not places._open


def test_users_together_leave_places_to_admins() -> None:
    places = StreamPlaces()
    for number in range(STREAMS_MAX - STREAMS_FOR_ADMINS):
        places.take(user(f"user-{number}"))

    with pytest.raises(OverloadedError):
        places.take(user("one-more"))
    for _ in range(STREAMS_FOR_ADMINS):
        places.take(key("k"))
    with pytest.raises(OverloadedError):
        places.take(key("k"))


@pytest.mark.parametrize("goes", ["before", "amid"])
@in_loop
async def test_a_client_that_goes_away_gives_its_place_back(goes: str) -> None:
    places = StreamPlaces()
    begun = asyncio.Event()

    async def words() -> AsyncIterator[bytes]:
        begun.set()
        yield b"word"
        await asyncio.Event().wait()

    async def receive() -> dict[str, Any]:
        if goes == "amid":
            await begun.wait()
        return {"type": "http.disconnect"}

    async def send(_message: object) -> None:
        if goes == "before":
            raise OSError

    stream = CountedStream(places.take(user("ada")), words())
    with contextlib.suppress(OSError, Exception):
        await stream({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)

    assert places.count == 0


def test_over_real_sockets_one_users_streams_are_bounded_and_others_follow_on() -> None:
    def follow(stack: contextlib.ExitStack, shown: str) -> Callable[[], httpx.Response]:
        headers = {"Authorization": f"Bearer {shown}"}
        url = f"{interface.address}/events"
        return lambda: stack.enter_context(
            httpx.stream("GET", url, headers=headers, timeout=PAGE_SECONDS_MAX)
        )

    with listening() as interface, contextlib.ExitStack() as others:
        with contextlib.ExitStack() as own:
            ada = follow(own, token())
            answers = [ada() for _ in range(STREAMS_OF_A_USER + 1)]
            answers[-1].read()
            bob = follow(others, token({"sub": "bob"}))()
            admin = follow(others, interface.keys[Scope.ADMIN])()
            statuses = [answer.status_code for answer in answers]
            code = answers[-1].json()["code"]
        wait_until(lambda: follow(others, token())().status_code == 200, PATIENCE_SECONDS)

    assert statuses == [200] * STREAMS_OF_A_USER + [429]
    assert code == "rate_limited"
    assert "retry-after" in answers[-1].headers
    assert (bob.status_code, admin.status_code) == (200, 200)


def test_what_is_refused_takes_no_place() -> None:
    with listening() as interface:
        headers = {"Authorization": f"Bearer {token()}"}
        with httpx.Client(base_url=interface.address, headers=headers) as http:
            for _ in range(STREAMS_OF_A_USER + 1):
                assert http.get("/events", params={"after": "evt_none"}).status_code == 422
                assert http.head("/events").status_code == 200
