"""API keys: how they look, what is kept of them, and which of them are in force."""

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from actors.auth.caller import Caller, Scope
from actors.auth.limits import KeyLimits
from actors.protocol.store import StorageUnavailableError

KEY_PREFIX = "allot_"
PREFIX_LENGTH = len(KEY_PREFIX) + 6  # What lists show, enough to recognise a key.
CALLED_AFTER_KEY = "key:"  # Callers are named after their key's id, behind this.
SECRET_BYTES = 32
KEY_LENGTH = len(KEY_PREFIX) + 43  # 32 bytes in base64.
REFRESH_SECONDS = 2.0  # A revoked key is refused everywhere within this time, plus one reading.
UNKNOWN_REFRESH_SECONDS = 0.5  # How soon an unknown key may make us look again.
LAST_USED_SECONDS = 10.0  # How often it is written down which keys were used.

logger = logging.getLogger(__name__)


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
    last_used_at: datetime | None = None
    """Within some seconds; None: never."""
    expires_at: datetime | None = None
    """From when on the key is refused; None: it does not expire."""
    limits: KeyLimits | None = None
    """The users and services that it is for; None: all."""
    lifetime: timedelta | None = None
    """How long it was made for: one that was rotated expires before. None: it had no end."""

    def in_force(self, now: datetime) -> bool:
        """Whether who shows it is let in."""
        return self.revoked_at is None and not is_over(self.expires_at, now)


def is_over(expires_at: datetime | None, now: datetime) -> bool:
    """Whether what expires then has expired."""
    return expires_at is not None and expires_at <= now


class KeyStore(Protocol):
    """Where keys are kept. Every call blocks and may raise StorageUnavailableError."""

    def insert(self, key: ApiKey) -> None:
        """Keep a new key."""

    def list(self) -> list[ApiKey]:
        """Return all keys, the oldest first, revoked ones too."""

    def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key; False where there is no such key in force."""

    def expire(self, key_id: str, at: datetime) -> bool:
        """Have a key expire then, if not earlier; False where no such key is there, or it is revoked."""

    def note_used(self, key_ids: Collection[str], at: datetime) -> None:
        """Write down that these keys were used, unless a later use is known."""


def make_key(
    name: str,
    scope: Scope,
    now: datetime,
    lifetime: timedelta | None = None,
    limits: KeyLimits | None = None,
) -> tuple[str, ApiKey]:
    """Return a new key's text, to be shown once, and what is kept of it."""
    text = KEY_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    key_id = secrets.token_hex(4)
    prefix, expires_at = text[:PREFIX_LENGTH], now + lifetime if lifetime else None
    key = ApiKey(
        *(key_id, name, scope, prefix, hash_of(text), now),
        expires_at=expires_at,
        limits=limits,
        lifetime=lifetime,
    )
    return text, key


def make_successor(
    key: ApiKey, now: datetime, lifetime: timedelta | None = None
) -> tuple[str, ApiKey]:
    """Return a new key that may do what `key` may, and lives as long unless that is told."""
    return make_key(key.name, key.scope, now, lifetime or key.lifetime, key.limits)


def hash_of(text: str) -> str:
    """Return the hash that is kept of a key. Keys are random: one round is enough."""
    return hashlib.sha256(text.encode()).hexdigest()


class KeyRing:
    """The keys in force, as one process knows them.

    They are read again every REFRESH_SECONDS, beside the requests. A key is found by its prefix,
    which is no secret; the rest is compared in constant time. While the database is away the keys
    known last stay in force.
    """

    def __init__(
        self, store: KeyStore, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._clock = clock
        self._keys: dict[str, list[tuple[str, datetime | None, Caller]]] = {}
        self._ids: dict[str, str] = {}
        self._ends: dict[str, datetime | None] = {}
        self._used: set[str] = set()
        self._read_at = float("-inf")
        self._noted_at = time.monotonic()
        self._away: StorageUnavailableError | None = None
        self._reading = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    def known(self, text: str) -> Caller | None:
        """Return who has shown a key, of those in RAM."""
        for kept, expires_at, caller in self._keys.get(text[:PREFIX_LENGTH], ()):
            if hmac.compare_digest(kept, hash_of(text)) and not self._is_over(expires_at):
                self._used.add(caller.name)
                return caller
        return None

    def _is_over(self, expires_at: datetime | None) -> bool:
        return expires_at is not None and is_over(expires_at, self._clock())

    async def caller_of(self, text: str) -> Caller | None:
        """Return who has shown a key; None where it is unknown, revoked or expired.

        Raises StorageUnavailableError where the key is not known and cannot be looked up.
        """
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
        found = self.known(text)
        if found is None and len(text) == KEY_LENGTH and text.startswith(KEY_PREFIX):
            await self._refresh(UNKNOWN_REFRESH_SECONDS)
            found = self.known(text)
        return found

    async def is_in_force(self, name: str) -> bool:
        """Whether the key of a caller of this name (`Caller.name`) is in force.

        Raises StorageUnavailableError where it is not known and cannot be looked up.
        """
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
        if name not in self._ends:
            await self._refresh(UNKNOWN_REFRESH_SECONDS)
        return name in self._ends and not self._is_over(self._ends[name])

    async def _follow(self) -> None:
        while True:
            try:
                await self._refresh(0.0)
                await self._note_used()
            except StorageUnavailableError:
                pass  # The keys known last stay in force.
            except Exception:  # It goes on: a revoked key must not stay for want of a reader.
                logger.exception("the keys cannot be read")
            await asyncio.sleep(REFRESH_SECONDS)

    async def _refresh(self, age_seconds: float) -> None:
        """Read the keys again, unless somebody did so within `age_seconds`."""
        async with self._reading:
            if time.monotonic() - self._read_at < age_seconds:
                if self._away is not None:  # Those who waited are told what the reader was told.
                    raise StorageUnavailableError("the keys cannot be read") from self._away
                return
            try:
                self._take(await asyncio.to_thread(self._store.list))
                self._away = None
            except StorageUnavailableError as error:
                self._away = error
                raise
            finally:
                self._read_at = time.monotonic()

    def _take(self, keys: Collection[ApiKey]) -> None:
        known: dict[str, list[tuple[str, datetime | None, Caller]]] = {}
        ends: dict[str, datetime | None] = {}
        for key in keys:
            if key.revoked_at is None:
                caller = Caller(CALLED_AFTER_KEY + key.key_id, key.scope, limits=key.limits)
                ends[caller.name] = key.expires_at
                known.setdefault(key.prefix, []).append((key.hash, key.expires_at, caller))
        self._keys, self._ends = known, ends
        self._ids = {CALLED_AFTER_KEY + key.key_id: key.key_id for key in keys}

    async def _note_used(self) -> None:
        """Write down which keys were used. Raises StorageUnavailableError."""
        if not self._used or time.monotonic() - self._noted_at < LAST_USED_SECONDS:
            return
        self._noted_at = time.monotonic()
        used, self._used = self._used, set()
        key_ids = {self._ids[name] for name in used if name in self._ids}
        await asyncio.to_thread(self._store.note_used, key_ids, self._clock())
