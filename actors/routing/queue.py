"""What waits on the way to a shard, and whose turn it is: no user takes the others' place.

Each user has a share of every message. A user of whom most of the waiting calls are is held back while others
call, to a number of calls a second: HTTP, the shard and the database are the others' then.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice

from actors.protocol.calls import Call, Reply
from actors.routing.others import Others
from actors.runtime.tracing import Parent
from domain.values import UserId

ENVELOPE_LENGTH_MAX = 512  # Calls in one message to a shard; of one user,
# so many: the replies to a message come together, and others wait for those that travel with them.
ENVELOPE_OF_ONE_USER_MAX = 8
CALLS_FOR_EACH_PACED = 125  # A user who is held back has one in a message for so many a second:
# others wait in the shard for as long as that takes.
QUEUE_LENGTH_MAX = 10_000  # Calls waiting here for one shard; beyond this, `overloaded`.
# Of one user, while others call: of the 512 writes that a replica works on, some are left to them.
WAITING_OF_ONE_USER_MAX = 384
MOST = 0.75  # Of the calls that wait for the same shard.

Item = Call | UserId
"""What is sent: a command under its key, or a user whose status is read."""


@dataclass(slots=True, eq=False)
class Queued:
    """Something to send, and the future of its reply (None: the shard was lost)."""

    item: Item
    reply: "asyncio.Future[Reply | None]"
    parent: Parent | None
    """The span of the request that it is for, where that is traced."""


class Queue:
    """What waits for the next messages: each user in turn has a share of one, in order of arrival.

    `user_pace`: how many calls a second a user has of whom most of the waiting calls are, while others
    call; 0: as many as messages take.
    """

    def __init__(self, user_pace: int, others: Others) -> None:
        self._others = others
        self._paced_share = max(min(user_pace // CALLS_FOR_EACH_PACED, ENVELOPE_OF_ONE_USER_MAX), 1)
        self._pause = self._paced_share / user_pace if user_pace else 0.0
        self._of_users: dict[UserId, deque[Queued]] = {}
        self._held: dict[UserId, deque[Queued]] = {}
        """Of users who are held back."""
        self._length = 0
        self.due = 0
        """How many are not held back."""
        self.held_until = 0.0

    @property
    def held_back(self) -> Collection[UserId]:
        """The users who are held back."""
        return self._held

    def admits(self, user_id: UserId, now: float) -> bool:
        """Note that a user calls, and return whether the call may wait."""
        self._others.note(user_id, now)
        own = self._held.get(user_id) or self._of_users.get(user_id) or ()
        has_its_part = len(own) >= WAITING_OF_ONE_USER_MAX and self._has_pace(now)
        return self._length < QUEUE_LENGTH_MAX and not has_its_part

    def put(self, waiting: Queued) -> None:
        """Let something wait."""
        user_id = user_of(waiting.item)
        self._length += 1
        if user_id in self._held:
            self._held[user_id].append(waiting)
        else:
            self._of_users.setdefault(user_id, deque()).append(waiting)
            self.due += 1

    def take(self, now: float) -> list[Queued]:
        """Return what the next message is to carry. Users with more of their own come last again."""
        users = list(islice(self._of_users, ENVELOPE_LENGTH_MAX))
        message: list[Queued] = []
        for user_id in users:
            own = self._of_users.pop(user_id)
            is_paced = False
            if len(own) > ENVELOPE_OF_ONE_USER_MAX:
                own = self._without_gone(own)
                is_paced = self._is_most(own) and self._has_pace(now)
            share = self._paced_share if is_paced else ENVELOPE_OF_ONE_USER_MAX
            share = min(len(own), share, ENVELOPE_LENGTH_MAX - len(message))
            message += [own.popleft() for _ in range(share)]
            if is_paced:
                self._hold_back(user_id, own, now)
            elif own:
                self._of_users[user_id] = own
            if len(message) == ENVELOPE_LENGTH_MAX:
                break
        self._length -= len(message)
        self.due -= len(message)
        return message

    def let_go(self) -> None:
        """Have those who were held back come after those who wait already."""
        self.due += sum(map(len, self._held.values()))
        self._of_users |= self._held
        self._held = {}

    def _without_gone(self, own: deque[Queued]) -> deque[Queued]:
        """Return what of a user still has a caller: those who have gone take nobody's turn."""
        waiting = deque(queued for queued in own if not queued.reply.done())
        gone = len(own) - len(waiting)
        self._length -= gone
        self.due -= gone
        return waiting

    def _has_pace(self, now: float) -> bool:
        return self._pause > 0 and self._others.are_calling(now)

    def _is_most(self, own: Sequence[Queued]) -> bool:
        return len(own) > ENVELOPE_OF_ONE_USER_MAX and len(own) >= MOST * self._length

    def _hold_back(self, user_id: UserId, own: deque[Queued], now: float) -> None:
        if not self._held:
            self.held_until = now + self._pause
        self._held[user_id] = own
        self.due -= len(own)


def user_of(item: Item) -> UserId:
    """Return whose account is asked for."""
    return item.command.user_id if isinstance(item, Call) else item
