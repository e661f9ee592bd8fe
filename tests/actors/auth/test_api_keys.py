"""API keys: shown once, found by their hash, revoked soon, in force while the database is away."""

import asyncio

import pytest

from actors.auth import api_keys
from actors.auth.api_keys import KeyRing, hash_of, make_key
from actors.auth.caller import Scope
from actors.protocol.store import StorageUnavailableError
from tests.builders.authors import NOON
from tests.fakes.memory_keys import Keys, made, stranger_like
from tests.fakes.shards import in_loop, until

SECONDS_MAX = 5.0


def test_nothing_that_is_kept_of_a_key_tells_the_key() -> None:
    text, key = make_key("dashboard", Scope.READ, NOON)

    assert key.hash == hash_of(text)
    assert text.startswith(key.prefix)
    assert len(text) - len(key.prefix) > 30
    assert text not in repr(key)


@in_loop
async def test_a_key_has_its_scope_and_a_stranger_has_none() -> None:
    store = Keys()
    text, key = made(store, Scope.WRITE)
    ring = KeyRing(store)

    found = await ring.caller_of(text)
    assert found is not None
    assert (found.scope, found.name) == (Scope.WRITE, f"key:{key.key_id}")
    for stranger in (text + "x", text[:-1] + "~", text[:-1], "", "allot_", stranger_like(text)):
        assert await ring.caller_of(stranger) is None


@in_loop
async def test_a_key_made_later_is_found_and_a_revoked_one_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api_keys, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(api_keys, "UNKNOWN_REFRESH_SECONDS", 0.0)
    store = Keys()
    ring = KeyRing(store)
    assert await ring.caller_of(stranger_like("")) is None

    text, key = made(store, Scope.ADMIN)
    found = await ring.caller_of(text)
    store.revoke(key.key_id, NOON)

    async with asyncio.timeout(SECONDS_MAX):
        while await ring.caller_of(text) is not None:
            await asyncio.sleep(0)
    assert found is not None
    assert found.scope is Scope.ADMIN


@in_loop
async def test_known_keys_stay_in_force_while_the_database_is_away() -> None:
    store = Keys()
    text, _ = made(store, Scope.READ)
    ring = KeyRing(store)
    await ring.caller_of(text)

    store.away = True
    ring._read_at = float("-inf")

    found = await ring.caller_of(text)
    assert found is not None
    assert found.scope is Scope.READ
    with pytest.raises(StorageUnavailableError):
        await ring.caller_of(stranger_like(text))


@in_loop
async def test_many_unknown_keys_make_one_reading() -> None:
    store = Keys()
    ring = KeyRing(store)

    found = await asyncio.gather(*(ring.caller_of(stranger_like(f"allot_{n}")) for n in range(100)))

    assert set(found) == {None}
    assert store.readings <= 2


@in_loop
async def test_callers_with_unknown_keys_do_not_queue_for_a_database_that_is_away() -> None:
    store = Keys()
    store.away = True
    ring = KeyRing(store)

    guesses = (ring.caller_of(stranger_like(f"allot_{n}")) for n in range(100))
    ended = await asyncio.gather(*guesses, return_exceptions=True)

    assert {type(error) for error in ended} == {StorageUnavailableError}
    assert store.readings <= 2


@in_loop
async def test_what_cannot_be_a_key_makes_no_reading() -> None:
    store = Keys()
    ring = KeyRing(store)
    await ring.caller_of(stranger_like(""))
    readings = store.readings

    ring._read_at = float("-inf")
    for text in ("", "nobody", "allot_", "a.b.c", "x" * 49, "allot_" + "x" * 5000):
        assert await ring.caller_of(text) is None

    assert store.readings == readings


@in_loop
async def test_it_is_written_down_which_keys_were_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(api_keys, "LAST_USED_SECONDS", 0.0)
    store = Keys()
    text, key = made(store, Scope.READ)
    made(store, Scope.READ)
    ring = KeyRing(store, clock=lambda: NOON)

    await ring.caller_of(text)
    await until(lambda: store.used)

    assert store.used[0] == ({key.key_id}, NOON)


@in_loop
async def test_a_defect_in_reading_keys_does_not_keep_revoked_ones_in_force(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(api_keys, "REFRESH_SECONDS", 0.0)
    store = Keys()
    text, key = made(store, Scope.READ)
    ring = KeyRing(store)
    await ring.caller_of(text)

    store.broken = True
    await until(lambda: "cannot be read" in caplog.text)
    store.broken = False
    store.revoke(key.key_id, NOON)
    await until(lambda: ring.known(text) is None)

    assert await ring.caller_of(text) is None
