"""How fast the batches of one user are sent on, while others call."""

import asyncio
from collections import Counter
from collections.abc import Iterable

from actors.routing.others import Others
from domain.values import UserId

TIMES_THE_PACE = 4  # A message carries many, and costs less for each.
TURN_SECONDS_MAX = 5.0  # A batch whose turn would come later is refused: `overloaded`.


class BatchPace:
    """The turns of batches: each is sent whole, once all its users have had theirs before.

    `user_pace`: see `Queue`; 0: every batch is sent at once.
    """

    def __init__(self, user_pace: int, others: Others) -> None:
        self._others = others
        self._seconds_each = 1 / (TIMES_THE_PACE * user_pace) if user_pace else 0.0
        self._free_at: dict[UserId, float] = {}
        """When the next calls of a user may be sent."""

    async def turn(self, users: Iterable[UserId]) -> bool:
        """Wait until a batch may be sent, whose calls are for these; return whether that is in time."""
        now = asyncio.get_running_loop().time()
        self._free_at = {user: at for user, at in self._free_at.items() if at > now}
        if not self._seconds_each or not self._others.are_calling(now):
            return True
        seconds = {user: n * self._seconds_each for user, n in Counter(users).items()}
        begins = max((self._free_at.get(user, now) for user in seconds), default=now)
        if begins > now + TURN_SECONDS_MAX:
            return False
        for user, taken in seconds.items():
            self._free_at[user] = self._free_at.get(user, now) + taken
        try:
            await asyncio.sleep(begins - now)
        except asyncio.CancelledError:  # Its caller has gone.
            for user, taken in seconds.items():
                self._free_at[user] = self._free_at.get(user, now) - taken
            raise
        return True
