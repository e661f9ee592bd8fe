"""The loops of an actor's process: one that fails ends the process, and Ray starts a new one."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

from actors.runtime.format_watch import FormatWatch

logger = logging.getLogger(__name__)


class Loops:
    """Keeps the loops of one actor running. Unwatched, a loop that failed would hang all calls."""

    def __init__(self, actor: str, watch: FormatWatch | None = None) -> None:
        """`watch`: no loop begins before it is ready, and all end where it does."""
        self._actor = actor
        self._watch = watch
        self._tasks: set[asyncio.Task[None]] = set()
        if watch is not None:
            self._start(watch.keep())

    def start(self, loop: Coroutine[Any, Any, None]) -> None:
        """Run a loop as long as the process lives."""
        self._start(loop if self._watch is None else _run_when_ready(self._watch, loop))

    def _start(self, loop: Coroutine[Any, Any, None]) -> None:
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


async def _run_when_ready(watch: FormatWatch, loop: Coroutine[Any, Any, None]) -> None:
    try:
        await watch.ready()
    except BaseException:
        loop.close()
        raise
    await loop
