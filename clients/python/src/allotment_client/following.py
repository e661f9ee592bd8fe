"""How events are followed: server-sent events read, and where to go on when a stream breaks."""

import json
from collections.abc import Callable, Collection, Iterator

from allotment_client.call import PAUSE_SECONDS, PAUSE_SECONDS_MAX, Reply, failure_of
from allotment_client.decoding import reader
from allotment_client.errors import AllotmentError, ServiceAwayError, TryAgainError
from allotment_client.lists import EventRecord

AWAY_SECONDS_MAX = 60.0  # From the first failure until the caller is told, if nothing is heard.
SILENCE_SECONDS_MAX = 30.0  # A stream says something every 10: silence means it is dead.
PATH = "/events"

RECORD = reader(EventRecord)


class Following:
    """One caller's place among the events, over as many streams as it takes."""

    def __init__(
        self,
        types: Collection[str],
        user_id: str | None,
        after: str | None,
        clock: Callable[[], float],
    ) -> None:
        self._types = ",".join(types)
        self._user_id = user_id
        self._after = after
        self._clock = clock
        self._failing_since: float | None = None  # A silence may be the caller's own work.
        self._failures = 0
        self._text = b""

    def begin(self) -> dict[str, str]:
        """Return the query of the next stream: it begins behind what was heard."""
        self._text = b""
        given = {"types": self._types, "user_id": self._user_id, "after": self._after}
        return {name: value for name, value in given.items() if value}

    def heard(self, chunk: bytes) -> Iterator[EventRecord]:
        """Yield the events that a piece of a stream completes."""
        self._failing_since, self._failures = None, 0
        *blocks, self._text = (self._text + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            record = _record(block)
            self._after = _text(block, b"id:").decode() or self._after
            if record is not None:
                yield record

    def refused(self, reply: Reply) -> float:
        """Return how long to wait where there was no stream. Raises AllotmentError: no use."""
        return self.failed(failure_of(reply))

    def lost(self, error: Exception | None) -> float:
        """Return how long to wait where a stream broke, or ended. Raises ServiceAwayError."""
        away = ServiceAwayError(f"{ServiceAwayError.title}: {error!r}")
        away.__cause__ = error
        return self.failed(away)

    def failed(self, error: AllotmentError) -> float:
        """Return how long to wait before the next stream. Raises the error where that is no use."""
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        away = now - self._failing_since
        if not isinstance(error, TryAgainError) or away > AWAY_SECONDS_MAX:
            raise error
        self._failures += 1
        pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2.0 ** (self._failures - 1))
        return max(pause, error.retry_after or 0.0)


def _record(block: bytes) -> EventRecord | None:
    data = _text(block, b"data:")
    return RECORD(json.loads(data)) if data else None


def _text(block: bytes, field: bytes) -> bytes:
    """Return what the lines of one field say."""
    lines = [line for line in block.split(b"\n") if line.startswith(field)]
    return b"\n".join(line.removeprefix(field).removeprefix(b" ") for line in lines)
