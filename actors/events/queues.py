"""One consumer's events that wait: in RAM a queue a user, and of long queues the rest in the database.

Where RAM is full, the last event of the longest queue is left behind: only its place in the order is
kept, and it is read again in its turn. So users whose events fail for hours make no other user wait.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice

from actors.events.delivery import HeldEvent
from actors.events.records import OrderedEvent

HELD_MAX = 2_000  # Events of one consumer in RAM.
LEFT_BEHIND_MAX = 100_000  # Those whose places alone are kept; more are read once some are done.
READ_AGAIN_MAX = 100  # Events of one user that are read again together.


class UserQueues:
    """The events of one consumer that wait. A user's are in the order in which they happened."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, bool], HeldEvent] = {}
        """Those in RAM."""
        self._queues: dict[str, deque[HeldEvent]] = {}
        self._behind: dict[str, deque[int]] = {}
        self._left = 0

    @property
    def users(self) -> Iterable[str]:
        """Whose events wait."""
        return tuple(self._queues)

    def hold(self, held: HeldEvent) -> bool:
        """Append an event to its user's queue; True: there was none."""
        place, user = (held.event.order, held.again), held.event.record.user_id
        if place in self.held:
            return False
        self.held[place] = held
        is_new = user not in self._queues
        self._queues.setdefault(user, deque()).append(held)
        return is_new

    def has_room(self, user: str) -> bool:
        """Say whether an event of a user can be held. Where RAM is full, others make room for it."""
        while len(self.held) >= HELD_MAX and not self.is_behind(user):
            if not self._make_room():
                return False
        return not self.is_behind(user) or self._left < LEFT_BEHIND_MAX

    def is_behind(self, user: str) -> bool:
        """Say whether events of a user wait in the database: the next ones come after them."""
        return user in self._behind

    def leave_behind(self, event: OrderedEvent) -> None:
        """Note the place of an event whose user is behind."""
        self._behind[event.record.user_id].append(event.order)
        self._left += 1

    def _make_room(self) -> bool:
        """Leave the last event of the longest queue behind; False: all have but one."""
        user, queue = max(self._queues.items(), key=lambda item: len(item[1]))
        if len(queue) < 2 or queue[-1].again or self._left >= LEFT_BEHIND_MAX:
            return False
        order = queue.pop().event.order
        del self.held[order, False]
        self._behind.setdefault(user, deque()).appendleft(order)
        self._left += 1
        return True

    def first_and_last(self, user: str) -> tuple[HeldEvent, HeldEvent] | None:
        """Return the event whose turn it is, and the newest; None: there is none in RAM."""
        queue = self._queues[user]
        return (queue[0], queue[-1]) if queue else None

    def drop_first(self, user: str) -> None:
        """Drop the event whose turn it was."""
        held = self._queues[user].popleft()
        del self.held[held.event.order, held.again]

    def left_of(self, user: str) -> list[int]:
        """Return the places of a user's next events in the database, as many as there is room for."""
        room = max(HELD_MAX - len(self.held), 1)
        return list(islice(self._behind.get(user, ()), min(room, READ_AGAIN_MAX)))

    def catch_up(self, user: str, orders: Iterable[int], read: Mapping[int, OrderedEvent]) -> None:
        """Hold what was read again of a user's next places: of the others nothing is left."""
        behind = self._behind[user]
        for order in orders:
            behind.remove(order)
            self._left -= 1
            if order in read:
                self.hold(HeldEvent(read[order]))
        if not behind:
            del self._behind[user]

    def end(self, user: str) -> None:
        """Forget a user of whom nothing waits."""
        del self._queues[user]
