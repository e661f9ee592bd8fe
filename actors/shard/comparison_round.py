"""Whose accounts a comparison looks at: those that changed since the last one, then the next of all."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from math import ceil

from domain.values import UserId

ROUND = timedelta(hours=1)  # In which every account has its turn once, early or late.
PART_MIN = 5_000  # Accounts that have their turn in one comparison, however soon it comes.
CHANGED_MAX = 20_000  # Accounts come or changed since the last one; more wait for their turn.


class ComparisonRound:
    """One round after the other through all accounts of a shard."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._changed: dict[UserId, None] = {}
        self._left: list[UserId] = []
        """Who has had no turn in this round."""
        self._compared_at = self._ends_at = now()

    def note(self, user_id: UserId) -> None:
        """Compare an account that has come or changed with the next ones."""
        if len(self._changed) < CHANGED_MAX:
            self._changed[user_id] = None

    def join(self, user_id: UserId) -> None:
        """Have an account in the round that goes on, where one does: the last."""
        if self._left:
            self._left.append(user_id)

    def let_go(self, user_id: UserId) -> None:
        """Forget a user."""
        self._changed.pop(user_id, None)
        self._left = [other for other in self._left if other != user_id]

    def begin_again(self) -> None:
        """Have the next comparison begin a round: all accounts are forgotten, and read from the start."""
        self._changed, self._left = {}, []

    @contextmanager
    def part(self, users: Callable[[], list[UserId]]) -> Iterator[Sequence[UserId]]:
        """Yield who is next, each once; `users`: all. Where the block fails, they are next again.

        Of those left as many have their turn as the time since the last comparison is a part of
        that which the round had left then.
        """
        now, before = self._now(), self._compared_at
        if not self._left or now - before >= ROUND:
            self._left, self._ends_at = users(), before + ROUND
        is_over = now >= self._ends_at
        share = 1.0 if is_over else (now - before) / (self._ends_at - before)
        number = max(PART_MIN, ceil(len(self._left) * share))
        turn, self._left = self._left[:number], self._left[number:]
        changed, self._changed = self._changed, {}
        self._compared_at = now
        try:
            yield list(dict.fromkeys((*changed, *turn)))
        except BaseException:
            self._left = turn + self._left
            self._changed = dict(islice((changed | self._changed).items(), CHANGED_MAX))
            self._compared_at = before
            raise
