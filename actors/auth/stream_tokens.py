"""Stream tokens: short-lived texts with which a browser's EventSource begins a user's event stream.

EventSource sends no header, so the text stands in the address, where proxies and histories may keep
it. So it opens that one stream, for a minute, and nothing else. It is signed and kept nowhere: the
service keeps one secret, and whoever can read that in the database can read the events there, too.
"""

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from actors.auth.api_keys import is_over
from actors.auth.caller import Caller
from actors.protocol.store import StorageUnavailableError
from domain.values import UserId

PREFIX = "stream_"
BEGIN_SECONDS_MAX = 60  # Within this time a stream begins, or the token is worth nothing.
STREAM_SECONDS_MAX = 900  # How long the stream then goes on, at most.
TOKEN_LENGTH_MAX = 4 * 1024
SECRET_BYTES = 32
FRESH_SECONDS = 60.0  # After so long the secret is read again: removed, it is soon another one.
PURPOSE = b"allotment stream token 1\n"


class SecretStore(Protocol):
    """Where the secret is kept. Every call blocks and may raise StorageUnavailableError."""

    def secret(self) -> bytes:
        """Return the secret, the same for all processes; the first call makes it."""


@dataclass(frozen=True, slots=True)
class StreamToken:
    """A token that was just made."""

    text: str
    user_id: UserId
    expires_at: datetime
    """Until when a stream is begun with it."""


class StreamTokens:
    """Makes and checks stream tokens, in one process of several."""

    def __init__(
        self,
        store: SecretStore,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self.clock = clock
        self._monotonic = monotonic
        self._secret = b""
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def make(self, caller: Caller, user_id: UserId) -> StreamToken:
        """Return a token for the events of a user, made by a caller who may read them.

        Raises StorageUnavailableError.
        """
        expires_at = self.clock() + timedelta(seconds=BEGIN_SECONDS_MAX)
        if caller.ends_at is not None:
            expires_at = min(expires_at, caller.ends_at)
        ends = None if caller.ends_at is None else caller.ends_at.timestamp()
        facts = [user_id, caller.name, expires_at.timestamp(), ends]
        payload = urlsafe_b64encode(json.dumps(facts).encode()).decode().rstrip("=")
        secret = await self._known_secret()
        return StreamToken(f"{PREFIX}{payload}.{signature(secret, payload)}", user_id, expires_at)

    async def caller_of(self, text: str) -> Caller | None:
        """Return who follows with a token; None where it is not one in force.

        Whether the key that made it still is, its reader asks. Raises StorageUnavailableError.
        """
        payload, _, shown = text.removeprefix(PREFIX).partition(".")
        if not text.startswith(PREFIX) or len(text) > TOKEN_LENGTH_MAX or not text.isascii():
            return None
        secret = await self._known_secret()
        if not hmac.compare_digest(signature(secret, payload), shown):
            return None
        user_id, made_by, expires, ends = read_payload(payload)
        now = self.clock()
        if is_over(datetime.fromtimestamp(expires, UTC), now):
            return None
        ends_at = now + timedelta(seconds=STREAM_SECONDS_MAX)
        if ends is not None:
            ends_at = min(ends_at, datetime.fromtimestamp(ends, UTC))
        return Caller(f"user:{user_id}", None, UserId(user_id), ends_at=ends_at, made_by=made_by)

    async def _known_secret(self) -> bytes:
        async with self._reading:
            if self._monotonic() - self._read_at > FRESH_SECONDS:
                try:
                    self._secret = await asyncio.to_thread(self._store.secret)
                except StorageUnavailableError:
                    if not self._secret:
                        raise
                self._read_at = self._monotonic()  # The one known last stays good meanwhile.
            return self._secret


def signature(secret: bytes, payload: str) -> str:
    """Return what proves that we have made a payload."""
    return hmac.new(secret, PURPOSE + payload.encode(), hashlib.sha256).hexdigest()


def read_payload(payload: str) -> tuple[str, str, float, float | None]:
    """Return what a payload of ours says: user, maker, end of the token, end of what made it."""
    facts: list[Any] = json.loads(urlsafe_b64decode(payload + "=="))
    user_id, made_by, expires, ends = facts
    return user_id, made_by, expires, ends
