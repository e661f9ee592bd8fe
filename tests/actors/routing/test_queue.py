"""Whose turn it is: a user whose callers are many leaves the way to the others, and has it where there are none."""

from collections import Counter
from typing import Any

import pytest

from actors.routing.others import OTHERS_SECONDS, Others
from actors.routing.queue import ENVELOPE_OF_ONE_USER_MAX as SHARE
from actors.routing.queue import HELD_BACK_MAX, PACED_SHARE, Queue, Queued
from domain.values import UserId

PACE = 250
PAUSE = PACED_SHARE / PACE
ANSWER: Any = None  # Nobody waits for it here.
BUSY, OTHER, THIRD = UserId("busy"), UserId("other"), UserId("third")
MESSAGE_SECONDS = 0.001


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
            self.order.append(Queued(user_id, ANSWER, None))
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


@pytest.mark.parametrize("callers", [2 * SHARE, 64, 300])
def test_a_user_whose_callers_are_most_has_its_pace_while_others_call(callers: int) -> None:
    taken = Callers({BUSY: callers, OTHER: 1}).taken_within(10.0)

    assert taken[BUSY] == pytest.approx(10 * PACE, rel=0.05)
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
    callers = Callers({BUSY: 64})
    callers.call(OTHER, 1)
    callers.queue.take(0.0)
    callers.call(BUSY, SHARE)

    assert not callers.taken(PAUSE / 2)
    amid = OTHERS_SECONDS - PAUSE
    assert [callers.taken(amid), callers.taken(amid + PAUSE / 2)] == [{BUSY: PACED_SHARE}, {}]
    later = OTHERS_SECONDS + PAUSE
    assert [callers.taken(later + n * PAUSE / 8) for n in range(4)] == [{BUSY: SHARE}] * 4


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


def test_so_many_calls_of_one_user_are_held_back_and_others_have_room() -> None:
    callers = Callers({BUSY: HELD_BACK_MAX + PACED_SHARE - 1, OTHER: 1})
    queue = callers.queue
    assert queue.has_room(BUSY)
    queue.take(0.0)
    assert queue.has_room(BUSY)
    callers.call(BUSY, 1)

    assert not queue.has_room(BUSY)
    assert queue.has_room(OTHER)
