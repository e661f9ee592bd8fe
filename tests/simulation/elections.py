"""Elections: no server answers for a while, and the new primary shows at first what it knew of.

That may be less than what its predecessor had confirmed. Whoever asks it for something new has noticed the
election, and waits until a majority has confirmed the new primary. What was asked before is answered by it as it is,
but for reads that must see more: what their process has written, or was told of.
"""

import math
import random
from collections import deque
from typing import Any, NamedTuple

from actors.protocol.store import Moment
from tests.simulation.virtual_time import PROCESS, Process, VirtualLoop

State = dict[str, Any]

AWAY_SECONDS_MAX = 2.0  # So long nobody is primary.
YOUNG_SECONDS_MAX = 1.0  # So long a new primary shows what it knew of.
BEHIND_SECONDS_MAX = 2.0  # So old is that at most.
STATES_MAX = 60


class Past(NamedTuple):
    """What a majority had at some instant of the loop."""

    at: float
    state: State


class Known(NamedTuple):
    """What a process knows since an instant: that there is something of another one."""

    since: float
    at: float


class Elections:
    """Which reads see a state of the past."""

    def __init__(self, loop: VirtualLoop, dice: random.Random) -> None:
        self.held = self.shown_old = 0
        self._loop = loop
        self._dice = dice
        self._past = deque[Past](maxlen=STATES_MAX)
        self._known: dict[Process | None, list[Known]] = {}
        self._young: Past | None = None
        self._elected_at = self._grown_at = 0.0

    def remember(self, state: State) -> None:
        """Note what a majority has: one that is elected soon may know no more than that."""
        self._past.append(Past(self._loop.time(), state))

    def hold(self, entries: int) -> bool:
        """Let the primary be gone, and another one be elected that knows of fewer entries.

        False: there is none, or one was elected just now.
        """
        now, dice = self._loop.time(), self._dice
        recent = [past for past in self._past if past.at >= now - BEHIND_SECONDS_MAX]
        recent = [past for past in recent if len(past.state["journal"]) < entries]
        if not recent or now < self._grown_at:
            return False
        self.held += 1
        self._young = dice.choice(recent)
        self._elected_at = now + dice.uniform(0, AWAY_SECONDS_MAX)
        self._grown_at = self._elected_at + dice.uniform(0, YOUNG_SECONDS_MAX)
        self._loop.pause(self._elected_at)
        return True

    def know(self, at: float | None = None) -> None:
        """Have what the calling process reads from here on be no older than now, or than `at`."""
        now, mine = self._loop.time(), self._known.setdefault(PROCESS.get(), [])
        mine.append(Known(now, now if at is None else at))

    def notice(self) -> None:
        """Have what the call under way reads from here on wait for the new primary."""
        self._loop.asked_at = math.inf

    def hear(self, moment: Moment) -> None:
        """Know of a moment that the calling process was told of."""
        self.know(moment[0] + moment[1] / 1e9)

    def moment(self) -> Moment:
        """Return the instant as the database's clock has it."""
        return _as_moment(self._loop.time())

    def seen_moment(self) -> Moment:
        """Return the instant of the state that the call under way is shown."""
        past = self._seen(causally=False)
        return self.moment() if past is None else _as_moment(past.at)

    def seen(self, *, causally: bool) -> State | None:
        """Return the state of the past that the call under way is shown; None: what there is now."""
        past = self._seen(causally=causally)
        self.shown_old += past is not None
        return None if past is None else past.state

    def _seen(self, *, causally: bool) -> Past | None:
        young, loop = self._young, self._loop
        if young is None or not loop.asked_at < self._elected_at <= loop.time() < self._grown_at:
            return None
        mine = self._known.get(PROCESS.get(), ()) if causally else ()
        # What a process learns while it waits for a read does not change what it asked for.
        if any(known.at > young.at for known in mine if known.since <= loop.asked_at):
            return None
        return young


def _as_moment(at: float) -> Moment:
    seconds, rest = divmod(round(at * 1e9), 1_000_000_000)
    return seconds, rest
