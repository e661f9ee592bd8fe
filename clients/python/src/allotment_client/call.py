"""One call, built and read without sending it: what both clients share.

A call is built by a function of `accounts`, `lookups` or `operators`; `exchange` says what to send
and how long to pause between tries, and a client does that, blocking or not.
"""

import json
import secrets
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from allotment_client.decoding import Reader
from allotment_client.errors import (
    AllotmentError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    ServiceAwayError,
    TryAgainError,
    UnexpectedAnswerError,
)
from allotment_client.problems import error_of

T = TypeVar("T")

TIMEOUT_SECONDS = 30.0  # How long a method waits for its answer, repeats included.
TRY_SECONDS_MAX = 12.0  # Of these for one try: the service itself gives up after 10.
TRIES_MAX = 20
PAUSE_SECONDS = 0.1  # Before the second try; doubled before each further one,
PAUSE_SECONDS_MAX = 2.0  # up to this.
KEY_LENGTH_MAX = 255
REFUSED_FOR_NOW = (OverloadedError, RateLimitedError)  # After these nothing was done.


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how often a call is tried."""

    timeout_seconds: float = TIMEOUT_SECONDS
    tries_max: int = TRIES_MAX


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request of HTTP, and what reads its answer."""

    method: str
    path: str
    read: Reader[T]
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    key: str | None = None
    """The idempotency key: the same at each try."""
    not_found: type[NotFoundError] = NotFoundError
    repeats: bool = True
    """Whether it is sent again where its answer was lost."""
    rest: "Callable[[T], Call[T] | None] | None" = None
    """Returns the call of what an answer leaves undecided; that call answers for the whole."""

    @property
    def headers(self) -> dict[str, str]:
        headers = {} if self.body is None else {"Content-Type": "application/json"}
        return headers if self.key is None else headers | {"Idempotency-Key": self.key}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of HTTP."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send the call, and give its reply, or the error that came in its place, back."""

    call: Call[Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next try."""

    seconds: float


Steps = Generator[Send | Pause, Reply | Exception | None, T]


def exchange(
    call: Call[T], limits: Limits, clock: Callable[[], float], dice: Callable[[], float]
) -> Steps[T]:
    """Say step by step what to do, and return the answer. Raises AllotmentError.

    What an answer leaves undecided is sent again; where that fails in the end, the last answer
    still says of it: try again. `clock` counts seconds; `dice` gives numbers from 0 to 1, so that
    clients do not come together.
    """
    ends_at = clock() + limits.timeout_seconds
    partial: list[T] = []  # The last answer that left something undecided.
    tries = 0
    while True:
        outcome = yield Send(call, min(TRY_SECONDS_MAX, max(ends_at - clock(), 0.001)))
        assert outcome is not None, "what was sent has an outcome"
        tries += 1
        try:
            answer = answer_of(call, outcome)
            rest = call.rest(answer) if call.rest else None
            if rest is None:
                return answer
            call, partial = rest, [answer]
            pause = pause_before(tries, None, dice())
            if tries >= limits.tries_max or clock() + pause >= ends_at:
                return answer
        except AllotmentError as error:
            pause = pause_before(tries, error.retry_after, dice())
            is_over = tries >= limits.tries_max or clock() + pause >= ends_at
            if is_over or not _may_repeat(call, error):
                if partial:
                    return partial[0]
                raise
        yield Pause(pause)


def _may_repeat(call: Call[Any], error: AllotmentError) -> bool:
    """Say whether a call may be sent again after an error: it may pass, and is not done twice."""
    if not isinstance(error, TryAgainError):
        return False
    return call.repeats or isinstance(error, REFUSED_FOR_NOW)


def pause_before(tries: int, retry_after: float | None, dice: float) -> float:
    """Return how long to wait after so many tries, in seconds: never less than was asked for."""
    longest = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2.0 ** (tries - 1))
    return max(longest * (1 + dice) / 2, retry_after or 0.0)


def answer_of(call: Call[T], outcome: Reply | Exception) -> T:
    """Return the answer of a reply. Raises AllotmentError, with the call's key."""
    try:
        if isinstance(outcome, Exception):
            raise ServiceAwayError(f"{ServiceAwayError.title}: {outcome!r}") from outcome
        if 200 <= outcome.status < 300:
            return _read(call, outcome.body)
        raise failure_of(outcome, call.not_found)
    except AllotmentError as error:
        error.key = call.key
        raise


def failure_of(reply: Reply, not_found: type[NotFoundError] = NotFoundError) -> AllotmentError:
    """Return the error of a reply that is no answer."""
    problem = _problem(reply.body)
    if problem is not None:
        error = error_of(problem, not_found)
    elif reply.status >= 500:
        error = ServiceAwayError(f"{ServiceAwayError.title} (status {reply.status})")
    elif reply.status == 429:  # Proxies limit rates, too.
        error = RateLimitedError(f"{RateLimitedError.title} (status 429, without a problem body)")
    else:
        error = UnexpectedAnswerError(f"{UnexpectedAnswerError.title} (status {reply.status})")
    error.retry_after = _seconds(reply.headers.get("retry-after"))
    return error


def new_key() -> str:
    """Return an idempotency key nobody else has."""
    return f"auto-{secrets.token_hex(16)}"


def checked_key(key: str | None) -> str:
    """Return the key of a call, a new one where the caller gave none."""
    if key is None:
        return new_key()
    if not (1 <= len(key) <= KEY_LENGTH_MAX and key.isascii() and key.isprintable()):
        raise InvalidRequestError(f"key: it is 1 to {KEY_LENGTH_MAX} printable ASCII characters")
    if key != key.strip():  # Headers lose them.
        raise InvalidRequestError("key: it neither begins nor ends with a space")
    return key


def encoded(**fields: Any) -> bytes:
    """Return a body. What is None is left out; instants are text in ISO 8601."""
    given = {name: _plain(value) for name, value in fields.items() if value is not None}
    try:
        return json.dumps(given, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"body: {error}") from error


def query_of(**fields: Any) -> tuple[tuple[str, str], ...]:
    """Return a query. What is None is left out; `since` and `until` are sent as `from` and `to`."""
    names = {"since": "from", "until": "to"}
    return tuple(
        (names.get(name, name), str(_plain(value)))
        for name, value in fields.items()
        if value is not None
    )


def path_of(*segments: str) -> str:
    """Return a path of segments, each percent-encoded whole."""
    return "/" + "/".join(map(_segment, segments))


def _segment(text: str) -> str:
    try:
        encoded = quote(text, safe="")
    except (TypeError, UnicodeError) as error:
        raise InvalidRequestError(f"id: {error}") from error
    if not encoded:
        raise InvalidRequestError("id: it has at least one character")
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _read(call: Call[T], body: bytes) -> T:
    try:
        return call.read(json.loads(body) if body else None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnexpectedAnswerError from error


def _problem(body: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    needed: Iterable[str] = ("code", "title", "status", "detail")
    return found if isinstance(found, dict) and all(name in found for name in needed) else None


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
