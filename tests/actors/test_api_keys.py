"""API keys: shown once, found by their hash, revoked soon, in force while the database is away."""

import asyncio
from datetime import datetime

import pytest

from actors import api_keys
from actors.api_keys import ApiKey, KeyRing, Scope, hash_of, make_key
from actors.store import StorageUnavailableError
from tests.actors.authors import NOON
from tests.actors.running import in_loop

SECONDS_MAX = 5.0


class Keys:
    """A key store in RAM that can be away, and counts how often it is read."""

    def __init__(self) -> None:
        self.kept: list[ApiKey] = []
        self.away = False
        self.readings = 0

    def insert(self, key: ApiKey) -> None:
        self.kept.append(key)

    def list(self) -> list[ApiKey]:
        self.readings += 1
        if self.away:
            raise StorageUnavailableError("away")
        return list(self.kept)

    def revoke(self, key_id: str, at: datetime) -> bool:
        self.kept = [key for key in self.kept if key.key_id != key_id]
        return True


def made(store: Keys, scope: Scope) -> tuple[str, ApiKey]:
    text, key = make_key("test", scope, NOON)
    store.insert(key)
    return text, key


def test_nothing_that_is_kept_of_a_key_tells_the_key() -> None:
    text, key = make_key("dashboard", Scope.READ, NOON)

    assert key.hash == hash_of(text)
    assert text.startswith(key.prefix)
    assert len(text) - len(key.prefix) > 30
    assert text not in repr(key)


@in_loop
async def test_a_key_has_its_scope_and_a_stranger_has_none() -> None:
    store = Keys()
    text, _ = made(store, Scope.WRITE)
    ring = KeyRing(store)

    assert await ring.scope_of(text) is Scope.WRITE
    assert await ring.scope_of(text + "x") is None


@in_loop
async def test_a_key_made_later_is_found_and_a_revoked_one_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api_keys, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(api_keys, "UNKNOWN_REFRESH_SECONDS", 0.0)
    store = Keys()
    ring = KeyRing(store)
    assert await ring.scope_of("nobody") is None

    text, key = made(store, Scope.ADMIN)
    found = await ring.scope_of(text)
    store.revoke(key.key_id, NOON)

    async with asyncio.timeout(SECONDS_MAX):
        while await ring.scope_of(text) is not None:
            await asyncio.sleep(0)
    assert found is Scope.ADMIN


@in_loop
async def test_known_keys_stay_in_force_while_the_database_is_away() -> None:
    store = Keys()
    text, _ = made(store, Scope.READ)
    ring = KeyRing(store)
    await ring.scope_of(text)

    store.away = True
    ring._read_at = float("-inf")

    assert await ring.scope_of(text) is Scope.READ
    with pytest.raises(StorageUnavailableError):
        await ring.scope_of("unknown")


@in_loop
async def test_many_unknown_keys_make_one_reading() -> None:
    store = Keys()
    ring = KeyRing(store)

    found = await asyncio.gather(*(ring.scope_of(f"guess {n}") for n in range(100)))

    assert set(found) == {None}
    assert store.readings <= 2
