"""Whose turn it is to ask Stripe: so many requests a second, and what cannot wait goes first."""

import asyncio
from collections import deque
from collections.abc import Callable

URGENT_IN_A_ROW = 4  # After so many urgent turns one of those that can wait has its own.

Line = deque[asyncio.Future[None]]


class Pace:
    """Gives turns, evenly apart. Nothing is saved up while nobody asks."""

    def __init__(self, monotonic: Callable[[], float], per_second: float) -> None:
        self._monotonic = monotonic
        self._seconds_apart = 1 / per_second
        self._free_at = 0.0
        self._urgent = Line()
        self._patient = Line()
        self._in_a_row = 0
        self._giving: asyncio.Task[None] | None = None

    async def turn(self, *, urgent: bool) -> None:
        """Return when it is the caller's turn."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._patient).append(mine)
        if self._giving is None or self._giving.done():
            self._giving = asyncio.create_task(self._give())
        await mine

    async def _give(self) -> None:
        while self._urgent or self._patient:
            pause = self._free_at - self._monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            waiting = self._next_line().popleft()
            if not waiting.done():  # Else whoever asked has gone.
                self._free_at = max(self._free_at, self._monotonic()) + self._seconds_apart
                waiting.set_result(None)

    def _next_line(self) -> Line:
        if not self._urgent or (self._patient and self._in_a_row >= URGENT_IN_A_ROW):
            self._in_a_row = 0
            return self._patient
        self._in_a_row += 1
        return self._urgent
