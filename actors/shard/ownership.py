"""Which users a shard answers for, and how it gives them away.

It follows a newer table at once: from then on it answers for nobody whose slot is on its way or
elsewhere. Handing over is what it does next: finish what was accepted, write the views, forget.
Nobody answers for a slot on its way before its former owner has said that it has done so, and its
next owner loads each account at the first touch. What RAM has of others beyond that (a timer, an
operator, a restart has asked for it) serves one batch and nobody else: see `Shard.commit`.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from actors.protocol.directory import Directory
from actors.protocol.store import StorageUnavailableError
from actors.runtime.counters import Counters
from actors.shard.follower import Following
from actors.shard.inbox import Inbox
from actors.shard.view_writer import ViewWriter
from domain.account import Account
from domain.values import UserId

USERS_AT_ONCE = 1_000  # Looked at between two turns of the loop.


class Owner(Protocol):
    """The shard, as it is seen from here."""

    inbox: Inbox
    views: ViewWriter
    following: Following
    counters: Counters
    caught_up: bool

    @property
    def accounts(self) -> Mapping[UserId, Account]:
        """What is in RAM."""

    def forget(self, user_id: UserId) -> bool:
        """Drop an account from RAM. Returns whether it was there."""


class Ownership:
    """One shard's place in the table of slots."""

    def __init__(self, shard: Owner, index: int, table: Directory) -> None:
        self.table = table
        self._shard = shard
        self._index = index
        self._in_ram = table.slots(index)
        """The slots of whose users RAM may have accounts."""

    def owns(self, user_id: UserId) -> bool:
        """Whether the shard answers for the user."""
        return self.table.answers(self._index, user_id)

    def check(self, version: int) -> Callable[[UserId], bool]:
        """Return what says of the users in an envelope whether the shard answers for them.

        Its own table decides, whatever the sender's version is: nobody else answers for a user who
        is this shard's in it. Who has the same table has looked already, but for slots on their way.
        """
        return _is if version == self.table.version and not self.table.leaving else self.owns

    @property
    def has_slots(self) -> bool:
        """Whether the shard answers for anybody."""
        return bool(self.table.slots(self._index))

    def writes_views(self, user_id: UserId) -> bool:
        """Whether the shard writes what an earlier incarnation has left to write of the user."""
        return self.table.writes_views(self._index, user_id)

    def follow(self, table: Directory) -> None:
        """Take a newer table."""
        if table.version > self.table.version:
            self.table = table
            self._in_ram |= table.slots(self._index)

    async def hand_over(self) -> int:
        """Return the version under which nothing of other shards' users is left here.

        Neither in RAM nor missing in the views. Raises StorageUnavailableError.
        """
        shard, table = self._shard, self.table
        if not shard.caught_up:
            raise StorageUnavailableError("an earlier incarnation's views are not written yet")
        await shard.inbox.settle()
        await shard.views.settle()
        slots = table.slots(self._index)
        if not self._in_ram <= slots:
            await self._forget_others()
        if self.table is table:
            self._in_ram = slots
        return table.version

    async def _forget_others(self) -> None:
        shard = self._shard
        # What is being read for the warm start may be older than what the next owner writes.
        shard.following.warm.begin_again()
        users = [*shard.accounts, *shard.following.dormant.users()]
        for start in range(0, len(users), USERS_AT_ONCE):
            for user_id in users[start : start + USERS_AT_ONCE]:
                if not self.owns(user_id):
                    shard.forget(user_id)
            await asyncio.sleep(0)
        shard.counters.users = len(shard.accounts)


def _is(_: UserId) -> bool:
    return True
