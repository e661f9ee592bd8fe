"""Trouble of a replica set at the steps of a resharding: right before, within or right after each.

A majority stalls, and what was written meanwhile is confirmed at its end, or rolled back. Or the
primary is gone, and another one is elected: see `elections.py`.
"""

import contextlib
import random
from collections import Counter
from collections.abc import Iterator

from tests.simulation.database import SimulatedStore
from tests.simulation.virtual_time import QUICK_SECONDS, VirtualLoop

WRITES = ("begin", "grow", "leave", "arrive", "shrink", "finish")  # Of table and plan.
ASKED = ("start", "follow", "hand over", "take up", "end")  # Of shards: these take a while.
MOMENTS = ("before", "within", "after")
TROUBLES = ("confirmed", "rolled back", "elected", "elected")
EVERYBODYS = ("follow", "hand over")  # Every shard does this after every table: one is in trouble.
SHARE_OF_EVERYBODYS = 0.25
ELECTIONS_OF_EVERYBODYS = 0.6  # An election shows most to who has just been given users.
LONGEST_SECONDS = (0.02, 0.02, 0.02, 0.5, 6.0)  # Most end amid the next steps; else those wait.
APART_SECONDS = 0.02  # Between two states of the past that are remembered.


class StepStalls:
    """Makes trouble at a share of the steps. `met` counts it, by step, when, and how it ends."""

    def __init__(self, store: SimulatedStore, loop: VirtualLoop, dice: random.Random) -> None:
        self.share = 0.0
        self.met = Counter[tuple[str, str, str]]()
        self._store = store
        self._loop = loop
        self._dice = dice
        self._remembered_at = 0.0

    @contextlib.contextmanager
    def around(self, step: str) -> Iterator[None]:
        """Take a step, be it in trouble."""
        if not self.share:
            yield
            return
        self._remember()
        when = self._roll(step)
        if when == "before" or (when == "within" and step in WRITES):
            self._begin(step, when)
        elif when == "within":
            self._loop.call_later(self._dice.uniform(0, 4 * QUICK_SECONDS), self._begin, step, when)
        try:
            yield
        finally:
            self._remember()
            if when == "after":
                self._begin(step, when)

    def _roll(self, step: str) -> str | None:
        share = self.share * (SHARE_OF_EVERYBODYS if step in EVERYBODYS else 1.0)
        return self._dice.choice(MOMENTS) if self._dice.random() < share else None

    def _remember(self) -> None:
        if not self._store.is_stalled and self._loop.time() >= self._remembered_at + APART_SECONDS:
            self._remembered_at = self._loop.time()
            self._store.elections.remember(self._store.copied())

    def _begin(self, step: str, when: str) -> None:
        if self._store.is_stalled or not self.share:
            return
        trouble = self._dice.choice(TROUBLES)
        if step in EVERYBODYS and self._dice.random() < ELECTIONS_OF_EVERYBODYS:
            trouble = "elected"
        if trouble == "elected":
            self.met[step, when, trouble] += self._store.elections.hold(len(self._store.journal))
            return
        self.met[step, when, trouble] += 1
        longest = self._dice.choice(LONGEST_SECONDS)
        if when == "within" and step in WRITES:  # It is written, and no majority has it yet.
            longest = QUICK_SECONDS
        number = self._store.stall()
        self._loop.call_later(
            self._dice.uniform(0, longest), self._end, number, trouble == "rolled back"
        )

    def _end(self, number: int, rolled_back: bool) -> None:
        if self._store.stalls == number:
            self._store.end_stall(rolled_back=rolled_back)
