"""Whose turn it is: a user whose callers are many leaves the way to the others, and has it where there are none."""

from collections import Counter
from typing import Any

import pytest

from actors.routing.others import OTHERS_SECONDS, Others
from actors.routing.queue import ENVELOPE_OF_ONE_USER_MAX as SHARE
from actors.routing.queue import WAITING_OF_ONE_USER_MAX, Queue, Queued
from domain.values import UserId

PACE, PACED_SHARE = 250, 2
PAUSE = PACED_SHARE / PACE
BUSY, OTHER, THIRD = UserId("busy"), UserId("other"), UserId("third")
MESSAGE_SECONDS = 0.001


class Answer:
    """In place of the future that a caller waits for, if it does not go."""

    def __init__(self) -> None:
        self.is_done = False

    def done(self) -> bool:
        return self.is_done


class Callers:
    """Callers of a queue, each of whom calls again as soon as it was taken."""

    def __init__(self, many: dict[UserId, int], pace: int = PACE) -> None:
        self.others = Others()
        self.queue = Queue(pace, self.others)
        self.order: list[Queued] = []
        """What has called, in order."""
        for user_id, callers in many.items():
            self.call(user_id, callers)

    def call(self, user_id: UserId, times: int, now: float = 0.0) -> None:
        self.others.note(user_id, now)
        for _ in range(times):
            answer: Any = Answer()
            self.order.append(Queued(user_id, answer, None))
            self.queue.put(self.order[-1])

    def taken(self, now: float) -> Counter[UserId]:
        """Take a message, as a lane does, and let its callers call again."""
        if self.queue.held_back and now >= self.queue.held_until:
            self.queue.let_go()
        found = Counter(UserId(str(waiting.item)) for waiting in self.queue.take(now))
        for user_id, times in found.items():
            self.call(user_id, times, now)
        return found

    def taken_within(self, seconds: float) -> Counter[UserId]:
        """Take one message after the other."""
        messages = (
            self.taken(n * MESSAGE_SECONDS) for n in range(round(seconds / MESSAGE_SECONDS))
        )
        return sum(messages, Counter())


@pytest.mark.parametrize(
    ("callers", "pace"), [(2 * SHARE, 250), (64, 250), (300, 250), (64, 50), (64, 1_000)]
)
def test_a_user_whose_callers_are_most_has_its_pace_while_others_call(
    callers: int, pace: int
) -> None:
    taken = Callers({BUSY: callers, OTHER: 1}, pace).taken_within(10.0)

    assert taken[BUSY] == pytest.approx(10 * pace, rel=0.05)
    assert taken[OTHER] == 10_000


@pytest.mark.parametrize(
    "callers",
    [{BUSY: 64}, {BUSY: 64, OTHER: 64}, {BUSY: 64, OTHER: 40, THIRD: 30}, {BUSY: SHARE, OTHER: 1}],
    ids=str,
)
def test_who_calls_alone_or_beside_as_busy_ones_or_within_its_share_is_not_held_back(
    callers: dict[UserId, int],
) -> None:
    assert Callers(callers).taken_within(1.0)[BUSY] == 1_000 * SHARE


def test_without_a_pace_a_user_has_its_share_of_every_message() -> None:
    taken = Callers({BUSY: 64, OTHER: 1}, pace=0).taken_within(1.0)

    assert taken == {BUSY: 1_000 * SHARE, OTHER: 1_000}


def test_others_count_for_a_while_after_their_last_call() -> None:
    others = Others()
    others.note(OTHER, 0.0)
    long_after = 3600.0
    others.note(BUSY, long_after)
    assert not others.are_calling(long_after)

    others.note(OTHER, long_after + OTHERS_SECONDS / 2)
    others.note(BUSY, long_after + OTHERS_SECONDS / 2)

    assert others.are_calling(long_after + OTHERS_SECONDS)
    assert not others.are_calling(long_after + 2 * OTHERS_SECONDS)


def test_what_is_held_back_keeps_its_order_and_nothing_is_lost() -> None:
    callers = Callers({BUSY: 3 * SHARE, OTHER: 1})
    queue = callers.queue
    taken: list[Queued] = []
    for number in range(3 * SHARE):
        taken += queue.take(number * PAUSE)
        queue.let_go()
        if number < SHARE:
            callers.call(BUSY, 1)

    assert [w for w in taken if w.item == BUSY] == [w for w in callers.order if w.item == BUSY]
    assert len(taken) == len(callers.order)
    assert (queue.due, list(queue.held_back)) == (0, [])


def test_whoever_is_held_back_is_not_due_until_let_go() -> None:
    queue = Callers({BUSY: 2 * SHARE, OTHER: 1}).queue
    queue.take(0.5)

    assert (queue.due, list(queue.held_back), queue.held_until) == (0, [BUSY], 0.5 + PAUSE)

    queue.let_go()

    assert (queue.due, list(queue.held_back)) == (2 * SHARE - PACED_SHARE, [])


def test_while_others_call_so_many_calls_of_one_user_wait() -> None:
    callers = Callers({OTHER: 1, BUSY: WAITING_OF_ONE_USER_MAX})
    queue = callers.queue
    full = queue.admits(BUSY, 0.0)
    queue.take(0.0)
    after_a_message = queue.admits(BUSY, 0.0)
    callers.call(BUSY, PACED_SHARE)
    held_back = queue.admits(BUSY, 0.0)
    queue.let_go()

    assert (full, after_a_message, held_back, queue.admits(BUSY, 0.0)) == (
        False,
        True,
        False,
        False,
    )
    assert queue.admits(OTHER, 0.0)
    assert queue.admits(BUSY, OTHERS_SECONDS)


def test_who_has_gone_takes_no_turn_of_those_who_wait() -> None:
    callers = Callers({BUSY: 300, OTHER: 1})
    callers.queue.take(0.0)
    callers.queue.let_go()
    for waiting in callers.order:
        answer: Any = waiting.reply
        answer.is_done = True
    callers.call(BUSY, 1, PAUSE)

    assert callers.queue.take(PAUSE) == [callers.order[-1]]
    assert callers.queue.due == 0
