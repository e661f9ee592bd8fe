"""Actors that hang are found and started again; those that start, or are busy, are left alone."""

import threading
from collections.abc import Callable

import pytest

from actors.cluster.supervisor import (
    SILENT_LOOKS_MAX,
    STARTING_LOOKS_MAX,
    StandstillError,
    Supervisor,
    Word,
)


class Crew:
    """Actors of which the test says what becomes of their questions."""

    def __init__(self, *names: str) -> None:
        self.words: dict[str, Word | StandstillError] = dict.fromkeys(names, Word.ANSWERED)
        self.restarted: list[str] = []

    def names(self) -> list[str]:
        return list(self.words)

    def ask(self, name: str) -> object:
        return name

    def word(self, question: object) -> Word:
        word = self.words[str(question)]
        if isinstance(word, StandstillError):
            raise word
        return word

    def restart(self, name: str) -> None:
        self.restarted.append(name)
        self.words[name] = Word.LOST


def look(supervisor: Supervisor, times: int) -> None:
    for _ in range(times):
        supervisor.look()


def test_an_actor_that_answers_no_more_is_started_again_once() -> None:
    crew = Crew("shard-000", "sync", "janitor")
    supervisor = Supervisor(crew)
    look(supervisor, 2)

    crew.words["sync"] = Word.AWAITED
    look(supervisor, SILENT_LOOKS_MAX - 1)
    in_time = list(crew.restarted)
    look(supervisor, 1)
    crew.words["sync"] = Word.AWAITED
    look(supervisor, SILENT_LOOKS_MAX + 1)

    assert in_time == []
    assert crew.restarted == ["sync"]


def test_an_actor_that_is_slow_now_and_then_is_left_alone() -> None:
    crew = Crew("shard-000")
    supervisor = Supervisor(crew)
    look(supervisor, 2)

    for _ in range(10):
        crew.words["shard-000"] = Word.AWAITED
        look(supervisor, SILENT_LOOKS_MAX - 1)
        crew.words["shard-000"] = Word.ANSWERED
        look(supervisor, 1)

    assert crew.restarted == []


def test_an_actor_that_starts_slowly_is_left_alone_and_one_that_never_starts_is_not() -> None:
    crew = Crew("shard-000")
    supervisor = Supervisor(crew)
    look(supervisor, 2)
    crew.words["shard-000"] = Word.LOST
    look(supervisor, 2)

    crew.words["shard-000"] = Word.AWAITED
    look(supervisor, STARTING_LOOKS_MAX - 1)
    while_it_starts = list(crew.restarted)
    look(supervisor, 1)

    assert while_it_starts == []
    assert crew.restarted == ["shard-000"]


def test_an_actor_that_has_hung_again_after_its_start_is_started_again() -> None:
    crew = Crew("events")
    supervisor = Supervisor(crew)

    for _ in range(3):
        crew.words["events"] = Word.ANSWERED
        look(supervisor, 3)
        crew.words["events"] = Word.AWAITED
        look(supervisor, SILENT_LOOKS_MAX)

    assert crew.restarted == ["events"] * 3


def test_an_actor_whose_work_stands_still_is_started_again_and_its_work_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    crew = Crew("shard-000", "sync")
    supervisor = Supervisor(crew)
    look(supervisor, 2)

    crew.words["sync"] = StandstillError("the change stream, for 121 seconds")
    look(supervisor, 3)

    assert crew.restarted == ["sync"]
    said = "sync stands still (the change stream, for 121 seconds) and is started again"
    assert said in caplog.text


def test_an_actor_that_was_taken_away_is_not_missed() -> None:
    crew = Crew("shard-000", "shard-001")
    supervisor = Supervisor(crew)
    look(supervisor, 2)

    del crew.words["shard-001"]
    look(supervisor, STARTING_LOOKS_MAX + 2)

    assert crew.restarted == []


def test_the_supervisor_outlives_what_goes_wrong_while_it_looks() -> None:
    class Broken(Crew):
        looks = 0

        def names(self) -> list[str]:
            self.looks += 1
            raise RuntimeError("the cluster is away")

    class Stopping(threading.Event):
        """Says that it is time to stop at the third look."""

        def __init__(self, looks: Callable[[], int]) -> None:
            super().__init__()
            self._looks = looks

        def wait(self, timeout: float | None = None) -> bool:
            return self._looks() == 3

    crew = Broken()
    Supervisor(crew).run(Stopping(lambda: crew.looks))

    assert crew.looks == 3
