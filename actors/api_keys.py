"""API keys: how they look, what is kept of them, and which of them may do what."""

import asyncio
import contextlib
import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Protocol

from actors.store import StorageUnavailableError

KEY_PREFIX = "allot_"
PREFIX_LENGTH = len(KEY_PREFIX) + 6  # What lists show, enough to recognise a key.
SECRET_BYTES = 32
REFRESH_SECONDS = 2.0  # A revoked key is refused everywhere within this time, plus one reading.
UNKNOWN_REFRESH_SECONDS = 0.5  # How soon an unknown key may make us look again.


class Scope(IntEnum):
    """What a key may do; each includes the ones before."""

    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept. The key itself is shown once and never stored."""

    key_id: str
    name: str
    scope: Scope
    prefix: str
    hash: str
    created_at: datetime
    revoked_at: datetime | None = None


class KeyStore(Protocol):
    """Where keys are kept. Every call blocks and may raise StorageUnavailableError."""

    def insert(self, key: ApiKey) -> None:
        """Keep a new key."""

    def list(self) -> list[ApiKey]:
        """Return all keys, the oldest first, revoked ones too."""

    def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key; False where there is no such key in force."""


def make_key(name: str, scope: Scope, now: datetime) -> tuple[str, ApiKey]:
    """Return a new key's text, to be shown once, and what is kept of it."""
    text = KEY_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    key_id = secrets.token_hex(4)
    return text, ApiKey(key_id, name, scope, text[:PREFIX_LENGTH], hash_of(text), now)


def hash_of(text: str) -> str:
    """Return the hash by which a key is found. Keys are random: one round is enough."""
    return hashlib.sha256(text.encode()).hexdigest()


class KeyRing:
    """The keys in force, as one process knows them.

    They are read again every REFRESH_SECONDS, beside the requests. Keys are found by their hash,
    so that comparing them tells a guesser nothing. While the database is away the keys known last
    stay in force.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._scopes: dict[str, Scope] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    async def scope_of(self, text: str) -> Scope | None:
        """Return the scope of a key; None where it is unknown or revoked.

        Raises StorageUnavailableError where the key is not known and cannot be looked up.
        """
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
        digest = hash_of(text)
        if digest not in self._scopes:
            await self._refresh(UNKNOWN_REFRESH_SECONDS)
        return self._scopes.get(digest)

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(StorageUnavailableError):
                await self._refresh(0.0)
            await asyncio.sleep(REFRESH_SECONDS)

    async def _refresh(self, age_seconds: float) -> None:
        """Read the keys again, unless somebody did so within `age_seconds`."""
        async with self._reading:
            if time.monotonic() - self._read_at < age_seconds:
                return
            keys = await asyncio.to_thread(self._store.list)
            self._scopes = {key.hash: key.scope for key in keys if key.revoked_at is None}
            self._read_at = time.monotonic()
