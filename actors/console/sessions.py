"""Who is signed in: sessions that end by themselves, and links that open one once.

All of it is in this process's memory: a session ends with the process, too. Keys never leave it.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

IDLE_SECONDS_MAX = 30 * 60.0
SESSION_SECONDS_MAX = 12 * 3600.0
LINK_SECONDS_MAX = 3600.0
SESSIONS_MAX = 200  # One more ends the one that was used longest ago.
TOKEN_BYTES = 32


class Notice(NamedTuple):
    """What the next page tells, once."""

    text: str
    tone: str = "good"


@dataclass(slots=True)
class Session:
    """One browser that is signed in. Times are seconds of a clock that only goes forward."""

    key: str = field(repr=False)
    """The API key it works with."""
    form_token: str = field(repr=False)
    """What its forms carry: no other site can know it."""
    began_at: float
    used_at: float
    notices: list[Notice] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict, repr=False)
    """A `key` or a `secret` that was made just now: the list that it belongs to shows it, once."""

    def take_notices(self) -> list[Notice]:
        """Return what is to be told, once."""
        told, self.notices = self.notices, []
        return told


class Sessions:
    """The sessions of one console. Ids are random; only their digests are kept."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns seconds, and never goes back."""
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def begin(self, key: str) -> str:
        """Sign a browser in; return the id that its cookie holds."""
        now = self._clock()
        self._drop_ended(now)
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=lambda one: self._sessions[one].used_at)]
        session_id = secrets.token_urlsafe(TOKEN_BYTES)
        form_token = secrets.token_urlsafe(TOKEN_BYTES)
        self._sessions[_digest(session_id)] = Session(key, form_token, now, now)
        return session_id

    def find(self, session_id: str, *, uses: bool = True) -> Session | None:
        """Return a session that goes on. A look that is no `uses` does not keep it alive."""
        now = self._clock()
        self._drop_ended(now)
        session = self._sessions.get(_digest(session_id))
        if session is not None and uses:
            session.used_at = now
        return session

    def end(self, session_id: str) -> None:
        """Sign a browser out."""
        self._sessions.pop(_digest(session_id), None)

    def _drop_ended(self, now: float) -> None:
        self._sessions = {
            digest: one
            for digest, one in self._sessions.items()
            if now - one.used_at < IDLE_SECONDS_MAX and now - one.began_at < SESSION_SECONDS_MAX
        }


class Link:
    """The link that a start prints: it signs one browser in, once, for an hour."""

    def __init__(self, key: str, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock
        self._ends_at = clock() + LINK_SECONDS_MAX
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self._is_open = True

    def take(self, token: str) -> str | None:
        """Return the key for the right token, once; None for everything else."""
        is_right = secrets.compare_digest(token.encode(), self.token.encode())
        if not is_right or not self._is_open or self._clock() >= self._ends_at:
            return None
        self._is_open = False
        return self._key


def _digest(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()
