"""How often the server is asked for changes, and how many it is asked for ahead."""

from itertools import count
from typing import Any, Self, cast

from pymongo.change_stream import DatabaseChangeStream

from actors.mongo.change_reader import (
    BATCH_LENGTH_MAX,
    LONG_ANSWER_SECONDS,
    POLL_SECONDS,
    READ_AHEAD_MAX,
    StreamReader,
)
from tests.patience import PATIENCE_SECONDS
from tests.service.running import wait_until


class Stream:
    """A stream whose server takes so many seconds for each of its answers; the last has a change."""

    alive = True

    def __init__(self, *answers: float) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self._answers = list(answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def try_next(self) -> dict[str, Any] | None:
        self.now += self._answers.pop(0) if self._answers else 0.0
        return None if self._answers else {"operationType": "insert"}


def pauses(*answers: float) -> list[float]:
    """Return how long the reader paused before the change came."""
    stream = Stream(*answers)
    reader = StreamReader(
        cast("DatabaseChangeStream[dict[str, Any]]", stream),
        monotonic=lambda: stream.now,
        pause=stream.pauses.append,
    )
    taken = reader.take()
    reader.stop()
    assert taken
    return stream.pauses


LONG, SHORT = 7 * LONG_ANSWER_SECONDS, 0.2 * LONG_ANSWER_SECONDS


def test_a_server_that_answers_at_once_has_nothing_and_is_left_alone_for_a_while() -> None:
    assert pauses(SHORT, SHORT, SHORT) == [POLL_SECONDS, POLL_SECONDS]


def test_a_stream_with_more_of_our_writes_than_one_answer_looks_through_does_not_fall_behind() -> (
    None
):
    behind = pauses(*[LONG] * 30, SHORT)

    assert sum(behind) < 30 * LONG + POLL_SECONDS


class Flood(Stream):
    """A stream that always has one more change."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self._numbers = count()

    def try_next(self) -> dict[str, Any]:
        self.read += 1
        return {"operationType": "insert", "number": next(self._numbers)}


def test_of_a_flood_of_changes_so_many_are_read_ahead_and_none_is_lost() -> None:
    flood = Flood()
    reader = StreamReader(cast("DatabaseChangeStream[dict[str, Any]]", flood))
    wait_until(lambda: flood.read > READ_AHEAD_MAX, PATIENCE_SECONDS)  # One waits to be put there.
    ahead = flood.read

    taken: list[dict[str, Any]] = []
    while len(taken) < 3 * READ_AHEAD_MAX:
        part = reader.take()
        assert len(part) <= BATCH_LENGTH_MAX
        taken += part
    reader.stop()

    assert ahead == READ_AHEAD_MAX + 1
    assert [event["number"] for event in taken] == list(range(len(taken)))
