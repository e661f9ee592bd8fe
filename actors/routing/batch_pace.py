"""How fast the many calls of one user in batches are sent on, while others call."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from actors.routing.others import Others
from actors.routing.queue import Item, user_of
from domain.values import UserId

ROUND_OF_ONE_USER_MAX = (
    16  # Calls that are sent together: others wait in the shard for as long as these take.
)
TIMES_THE_PACE = 4  # One message carries many, and costs less for each.
TURN_SECONDS_MAX = 5.0  # Calls whose turn would come later are refused: `overloaded`.


class BatchPace:
    """The turns of users of whom a batch has more calls than are sent together.

    `user_pace`: see `Queue`; 0: everything is sent at once.
    """

    def __init__(self, user_pace: int, others: Others) -> None:
        self._others = others
        self._seconds_each = 1 / (TIMES_THE_PACE * user_pace) if user_pace else 0.0
        self._free_at: dict[UserId, float] = {}
        """When the next calls of a user may be sent."""

    def rounds(self, items: Sequence[Item]) -> Iterator[list[int]]:
        """Yield which items are sent together, one round after the other; those of one user in order."""
        if not self._seconds_each:
            yield list(range(len(items)))
            return
        rounds: defaultdict[int, list[int]] = defaultdict(list)
        seen = Counter[UserId]()
        for place, item in enumerate(items):
            user_id = user_of(item)
            rounds[seen[user_id] // ROUND_OF_ONE_USER_MAX].append(place)
            seen[user_id] += 1
        yield from rounds.values()

    async def turn(self, items: Iterable[Item]) -> bool:
        """Wait until these may be sent; return whether they may be, in time."""
        now = asyncio.get_running_loop().time()
        if not self._seconds_each or not self._others.call(now):
            return True
        self._free_at = {user: at for user, at in self._free_at.items() if at > now}
        calls = Counter(map(user_of, items))
        begins = max(self._free_at.get(user, now) for user in calls)
        if begins > now + TURN_SECONDS_MAX:
            return False
        for user, count in calls.items():
            self._free_at[user] = self._free_at.get(user, now) + count * self._seconds_each
        if begins > now:
            await asyncio.sleep(begins - now)
        return True
