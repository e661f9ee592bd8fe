"""Reads forgotten accounts again, a few at a time, behind the traffic."""

import asyncio
from collections.abc import Iterable
from itertools import islice

from actors.shard.inbox import Inbox
from domain.values import UserId

RELOADS_WAITING_MAX = 100_000  # More than this are left to their next use.
RELOADS_AT_ONCE = 200  # Read together: calls for others whom RAM lacks wait as long as it takes.
CROWDED = 2_000  # Calls waiting; reloads wait for them.
PAUSE_SECONDS = 0.05


class Reloader:
    """Keeps RAM warm after changes: who was resident is resident again soon."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._wanted: dict[UserId, None] = {}
        self._arrived = asyncio.Event()

    def want(self, user_ids: Iterable[UserId]) -> None:
        """Ask for accounts to be read again, soon."""
        room = RELOADS_WAITING_MAX - len(self._wanted)
        self._wanted.update(dict.fromkeys(islice(user_ids, room)))
        if self._wanted:
            self._arrived.set()

    def drop(self, user_id: UserId) -> None:
        """Leave one account to its next use."""
        self._wanted.pop(user_id, None)

    def clear(self) -> None:
        """Leave what was asked for to its next use."""
        self._wanted.clear()

    async def run(self) -> None:
        """Put them into the inbox for ever, as reads that nobody waits for."""
        while True:
            await self._arrived.wait()
            while self._wanted:
                await self._reload_some()
            self._arrived.clear()

    async def _reload_some(self) -> None:
        if len(self._inbox) >= CROWDED:
            await asyncio.sleep(PAUSE_SECONDS)
            return
        users = list(islice(self._wanted, RELOADS_AT_ONCE))
        for user_id in users:
            del self._wanted[user_id]
        replies = [self._inbox.put(user_id, None) for user_id in users]
        await asyncio.gather(*(reply for reply in replies if reply is not None))
