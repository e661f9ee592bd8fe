"""Whose list is read when: a caller has few at once, however many connections it has."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from actors.protocol.errors import OverloadedError

LISTS_AT_ONCE = 2  # Of one caller; its others wait,
LISTS_WAITING_MAX = 100  # and so many may,
WAIT_SECONDS_MAX = 5.0  # for so long; then, or beyond that number, they are refused.


class Turns:
    """The turns of the callers of one process."""

    def __init__(self) -> None:
        self._at_work: dict[str, asyncio.Semaphore] = {}
        self._asked: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Give the block its turn. Raises OverloadedError: too many of the caller's wait, or for too long."""
        asked = self._asked.get(caller, 0)
        if asked >= LISTS_AT_ONCE + LISTS_WAITING_MAX:
            raise OverloadedError
        self._asked[caller] = asked + 1
        turn = self._at_work.setdefault(caller, asyncio.Semaphore(LISTS_AT_ONCE))
        try:
            await _wait_for(turn)
            try:
                yield
            finally:
                turn.release()
        finally:
            self._asked[caller] -= 1
            if not self._asked[caller]:  # Nobody is remembered who asks for nothing.
                del self._asked[caller], self._at_work[caller]


async def _wait_for(turn: asyncio.Semaphore) -> None:
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await turn.acquire()
    except TimeoutError:
        raise OverloadedError from None
