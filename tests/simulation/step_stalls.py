"""Lets majorities stall at the steps of a resharding: right before, within or right after each.

Half of the stalls end as elections do: what was written meanwhile is rolled back.
"""

import contextlib
import random
from collections import Counter
from collections.abc import Iterator

from tests.simulation.majority import ReplicatedStore
from tests.simulation.virtual_time import QUICK_SECONDS, VirtualLoop

WRITES = ("begin", "grow", "leave", "arrive", "shrink", "finish")  # Of table and plan.
ASKED = ("start", "hand over", "take up", "end")  # Of shards: these take a while.
MOMENTS = ("before", "within", "after")
ENDINGS = ("confirmed", "rolled back")
SHARDS = 4  # So many are asked in a step: at one of them as often as at a write.
LONGEST_SECONDS = (0.02, 0.02, 0.02, 0.5, 6.0)  # Most end amid the next steps; else those wait.


class StepStalls:
    """Begins a stall at a share of the steps. `met` counts those that began, by step, when and end."""

    def __init__(self, store: ReplicatedStore, loop: VirtualLoop, dice: random.Random) -> None:
        self.share = 0.0
        self.met = Counter[tuple[str, str, str]]()
        self._store = store
        self._loop = loop
        self._dice = dice

    @contextlib.contextmanager
    def around(self, step: str) -> Iterator[None]:
        """Take a step, be it in a stall."""
        when = None
        share = self.share / SHARDS if step in ASKED else self.share
        if share and self._dice.random() < share:
            when = self._dice.choice(MOMENTS)
        if when == "before":
            self._stall(step, when)
        elif when == "within" and step in WRITES:  # No majority has it, for a moment.
            self._stall(step, when, QUICK_SECONDS)
        elif when == "within":
            self._loop.call_later(self._dice.uniform(0, 4 * QUICK_SECONDS), self._stall, step, when)
        try:
            yield
        finally:
            if when == "after":
                self._stall(step, when)

    def _stall(self, step: str, when: str, longest: float | None = None) -> None:
        if self._store.is_stalled or not self.share:
            return
        rolled_back = self._dice.random() < 0.5
        self.met[step, when, ENDINGS[rolled_back]] += 1
        number = self._store.stall()
        seconds = self._dice.uniform(0, longest or self._dice.choice(LONGEST_SECONDS))
        self._loop.call_later(seconds, self._end, number, rolled_back)

    def _end(self, number: int, rolled_back: bool) -> None:
        if self._store.stalls == number:
            self._store.end_stall(rolled_back=rolled_back)
