"""The loops of an actor's process: one that fails ends the process, and Ray starts a new one."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)


class Loops:
    """Keeps the loops of one actor running. Unwatched, a loop that failed would hang all calls."""

    def __init__(self, actor: str) -> None:
        self._actor = actor
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, loop: Coroutine[Any, Any, None]) -> None:
        """Run a loop as long as the process lives."""
        task = asyncio.get_running_loop().create_task(loop)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Cancel all loops and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        logger.critical("%s: a loop failed", self._actor, exc_info=task.exception())
        os._exit(1)
