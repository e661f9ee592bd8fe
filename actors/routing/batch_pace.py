"""How fast the batches of one user are sent on, while others call."""

import asyncio
from collections import Counter
from collections.abc import Iterable

from actors.routing.others import Others
from domain.values import UserId

TIMES_THE_PACE = 4  # A message carries many, and costs less for each.
# A batch whose turn would come later is refused, `overloaded`, but not before: who repeats it at once would
# keep HTTP busy with reading it.
TURN_SECONDS_MAX = 5.0
WAITING_MAX = 128  # Batches that wait; more are refused at once.


class BatchPace:
    """The turns of batches: each is sent whole, once all its users have had theirs before.

    `user_pace`: see `Queue`; 0: every batch is sent at once.
    """

    def __init__(self, user_pace: int, others: Others) -> None:
        self._others = others
        self._seconds_each = 1 / (TIMES_THE_PACE * user_pace) if user_pace else 0.0
        self._free_at: dict[UserId, float] = {}
        """When the next calls of a user may be sent."""
        self._waiting = 0

    async def turn(self, users: Iterable[UserId]) -> bool:
        """Wait until a batch may be sent, whose calls are for these; return whether that is in time."""
        now = asyncio.get_running_loop().time()
        if not self._seconds_each or not self._others.are_calling(now):
            return True
        self._free_at = {user: at for user, at in self._free_at.items() if at > now}
        seconds = {user: n * self._seconds_each for user, n in Counter(users).items()}
        begins = max((self._free_at.get(user, now) for user in seconds), default=now)
        if begins > now and self._waiting >= WAITING_MAX:
            return False
        is_in_time = begins <= now + TURN_SECONDS_MAX
        if is_in_time:
            for user, taken in seconds.items():
                self._free_at[user] = self._free_at.get(user, now) + taken
        self._waiting += 1
        try:
            await asyncio.sleep(min(begins - now, TURN_SECONDS_MAX))
        except asyncio.CancelledError:  # Its caller has gone.
            for user, taken in seconds.items() if is_in_time else ():
                self._free_at[user] = self._free_at.get(user, now) - taken
            raise
        finally:
            self._waiting -= 1
        return is_in_time
