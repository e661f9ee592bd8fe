"""Stream tokens: whose events, how long, and what makes them worthless."""

from datetime import datetime, timedelta

import pytest

from actors.auth.caller import Caller, Scope
from actors.auth.stream_tokens import (
    BEGIN_SECONDS_MAX,
    FRESH_SECONDS,
    PREFIX,
    STREAM_SECONDS_MAX,
    TOKEN_LENGTH_MAX,
    StreamTokens,
)
from actors.protocol.store import StorageUnavailableError
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.shards import Clock, Seconds, in_loop
from tests.fakes.stream_secret import StreamSecret

KEY = Caller("key:1", Scope.READ)
SECOND = timedelta(seconds=1)


def own(ends_at: datetime | None = None) -> Caller:
    return Caller("user:ada", None, UserId("ada"), ends_at=ends_at)


@pytest.mark.parametrize("user", ["ada", "65f0a1b2c3d4e5f601234567", "ü/ \u2028%"])
@pytest.mark.parametrize("maker", [KEY, own()])
@in_loop
async def test_a_token_stands_for_one_user_and_for_nothing_else(user: str, maker: Caller) -> None:
    tokens = StreamTokens(StreamSecret(), Clock(NOON))

    made = await tokens.make(maker, UserId(user))
    found = await tokens.caller_of(made.text)

    assert found == Caller(f"user:{user}", None, UserId(user))
    assert (made.user_id, made.expires_at) == (user, NOON + BEGIN_SECONDS_MAX * SECOND)
    assert (found.made_by, found.ends_at) == (maker.name, NOON + STREAM_SECONDS_MAX * SECOND)
    assert not any(found.has(scope) for scope in Scope)
    assert made.text.isascii()
    assert not made.text.startswith("allot_")
    assert made.text.count(".") == 1  # It is taken neither for a key nor for a user's own token.


@in_loop
async def test_it_begins_a_stream_for_a_minute() -> None:
    clock = Clock(NOON)
    tokens = StreamTokens(StreamSecret(), clock)
    text = (await tokens.make(KEY, UserId("ada"))).text

    clock.now = NOON + (BEGIN_SECONDS_MAX - 1) * SECOND
    assert await tokens.caller_of(text) is not None
    clock.now += SECOND
    assert await tokens.caller_of(text) is None


@pytest.mark.parametrize(("lives", "begins", "goes_on"), [(30, 30, 30), (300, 60, 300)])
@in_loop
async def test_it_and_its_stream_end_with_the_token_that_made_it(
    lives: int, begins: int, goes_on: int
) -> None:
    tokens = StreamTokens(StreamSecret(), Clock(NOON))

    made = await tokens.make(own(NOON + lives * SECOND), UserId("ada"))
    found = await tokens.caller_of(made.text)

    assert made.expires_at == NOON + begins * SECOND
    assert found is not None
    assert found.ends_at == NOON + goes_on * SECOND


@in_loop
async def test_whatever_is_changed_of_it_makes_it_worthless() -> None:
    tokens = StreamTokens(StreamSecret(), Clock(NOON))
    text = (await tokens.make(KEY, UserId("ada"))).text
    spoilt = [text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :] for at in range(len(text))]
    others = (await tokens.make(KEY, UserId("bob"))).text
    mixed = text.partition(".")[0] + "." + others.partition(".")[2]
    cut = [text[:at] for at in range(len(text))]
    more = [text + "=", text + " ", " " + text, text + "." + text, PREFIX + text, text.upper()]
    strange = [
        "",
        ".",
        PREFIX,
        PREFIX + ".",
        "stream_\u00fc.x",
        "\u00fc",
        "x" * TOKEN_LENGTH_MAX * 2,
    ]

    for worthless in [*spoilt, mixed, *cut, *more, *strange]:
        assert await tokens.caller_of(worthless) is None, worthless


@in_loop
async def test_all_processes_take_it_and_none_does_once_the_secret_was_removed() -> None:
    store, seconds = StreamSecret(), Seconds()
    one, other = (StreamTokens(store, Clock(NOON), seconds) for _ in range(2))
    text = (await one.make(KEY, UserId("ada"))).text
    assert await other.caller_of(text) is not None

    store.kept = b"t" * 32
    seconds.now += FRESH_SECONDS + 1

    assert await one.caller_of(text) is None
    assert await other.caller_of(text) is None


@in_loop
async def test_while_the_database_is_away_the_secret_known_last_stays() -> None:
    store, seconds = StreamSecret(), Seconds()
    tokens, fresh = (StreamTokens(store, Clock(NOON), seconds) for _ in range(2))
    text = (await tokens.make(KEY, UserId("ada"))).text

    store.away = True
    seconds.now += FRESH_SECONDS + 1

    assert await tokens.caller_of(text) is not None
    with pytest.raises(StorageUnavailableError):
        await fresh.caller_of(text)
