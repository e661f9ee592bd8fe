"""The way of changes to one shard: gathered, repeated until the shard has acknowledged them."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from actors.protocol.changes import Changes, Stamp
from actors.protocol.errors import ShardLostError
from actors.protocol.store import Moment
from actors.runtime.backoff import backoff
from domain.values import UserId

NAMES_PER_MESSAGE_MAX = 2_000  # Users, and documents, in one message to a shard.
NAMES_WAITING_MAX = 200_000  # Beyond this the shard is told to forget everything instead.
MESSAGE_SECONDS_MAX = 5.0  # How long a shard may take before the message is repeated.
PAUSE_SECONDS_MIN = 0.05  # Pause before a lost message is repeated; doubled each time,
PAUSE_SECONDS_MAX = 1.0  # up to here.

logger = logging.getLogger(__name__)


class FollowingShards(Protocol):
    """The way to the shards."""

    async def follow(self, index: int, changes: Changes) -> Stamp | None:
        """Tell one shard; None: its directory has another version. Raises ShardLostError."""


@dataclass(slots=True)
class Unacknowledged:
    """What one shard has not acknowledged yet."""

    users: dict[UserId, None] = field(default_factory=dict)
    documents: dict[str, None] = field(default_factory=dict)
    forget_all: bool = False

    def __bool__(self) -> bool:
        return bool(self.users or self.documents or self.forget_all)

    def add(self, users: Iterable[UserId], documents: Iterable[str]) -> None:
        """Gather. What is more than can be held becomes: forget everything."""
        self.users.update(dict.fromkeys(users))
        self.documents.update(dict.fromkeys(documents))
        if len(self.users) + len(self.documents) > NAMES_WAITING_MAX:
            self.add_everything()

    def add_everything(self) -> None:
        """Everything is to be forgotten, so nothing needs its name."""
        self.users.clear()
        self.documents.clear()
        self.forget_all = True

    def take(self) -> "Unacknowledged":
        """Return as much as one message holds, and keep the rest."""
        users = dict.fromkeys(islice(self.users, NAMES_PER_MESSAGE_MAX))
        documents = dict.fromkeys(islice(self.documents, NAMES_PER_MESSAGE_MAX))
        taken = Unacknowledged(users, documents, self.forget_all)
        self.forget_all = False
        for user_id in users:
            del self.users[user_id]
        for document_id in documents:
            del self.documents[document_id]
        return taken

    def put_back(self, taken: "Unacknowledged") -> None:
        """Take back what was not acknowledged."""
        if taken.forget_all:
            self.add_everything()
        else:
            self.add(taken.users, taken.documents)


class Notifier:
    """Tells one shard, for ever and by itself: nobody waits for a shard that is down."""

    def __init__(
        self,
        shards: FollowingShards,
        index: int,
        *,
        age: Callable[[], float | None],
        moment: Callable[[], Moment | None],
        acknowledged: Callable[[], None],
        moved: Callable[[], None],
    ) -> None:
        """`age` and `moment` say how old the newest beat is and when the newest change was made.

        `moved` hears that the directory is another.
        """
        self.version = 0
        self._news = Unacknowledged()
        self._sending = Unacknowledged()
        self._shards = shards
        self._index = index
        self._age = age
        self._moment = moment
        self._acknowledged = acknowledged
        self._moved = moved
        self._wanted = asyncio.Event()
        self._stamp: Stamp | None = None
        self._told = 0
        self._asked = 0

    def tell(self, users: Iterable[UserId], documents: Iterable[str], number: int) -> None:
        """Gather what belongs to the batch of this number, for the next message."""
        self._news.add(users, documents)
        self._ask(number)

    def tell_to_forget_all(self, number: int) -> None:
        """Let the shard forget everything, which is part of the batch of this number."""
        self._news.add_everything()
        self._ask(number)

    def beat(self, number: int) -> None:
        """Send the age of the news, even where there are none."""
        self._ask(number)

    def has_told(self, number: int) -> bool:
        """Whether the shard has acknowledged everything up to the batch of this number."""
        return self._told == self._asked or self._told >= number

    @property
    def waiting_users(self) -> list[UserId]:
        """The users of whom the shard has not acknowledged the news."""
        return [*self._sending.users, *self._news.users]

    def _ask(self, number: int) -> None:
        self._asked = number
        self._wanted.set()

    async def run(self) -> None:
        """Send for ever."""
        failures = 0
        while True:
            await self._wanted.wait()
            if await self._send():
                failures = 0
            else:
                failures += 1
                await asyncio.sleep(backoff(failures, PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX))

    async def _send(self) -> bool:
        """Send one message. Returns whether it was acknowledged."""
        number, news = self._asked, self._news.take()
        self._sending = news
        stamp = await self._deliver(
            Changes(
                self.version,
                tuple(news.users),
                tuple(news.documents),
                news.forget_all,
                None if self._news else self._age(),
                self._stamp,
                self._moment(),
            )
        )
        self._sending = Unacknowledged()
        if stamp is None:
            self._news.put_back(news)
            return False
        self._stamp = stamp
        if not self._news:
            self._told = number
            if self._asked == number:
                self._wanted.clear()
        self._acknowledged()
        return True

    async def _deliver(self, changes: Changes) -> Stamp | None:
        try:
            async with asyncio.timeout(MESSAGE_SECONDS_MAX):
                stamp = await self._shards.follow(self._index, changes)
        except (ShardLostError, TimeoutError):
            return None
        if stamp is None:
            self._moved()
        return stamp
