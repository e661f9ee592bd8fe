"""How often the server is asked for changes."""

from typing import Any, Self, cast

from pymongo.change_stream import DatabaseChangeStream

from actors.mongo.change_reader import LONG_ANSWER_SECONDS, POLL_SECONDS, StreamReader


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
