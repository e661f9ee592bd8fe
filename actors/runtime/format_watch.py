"""Keeps a process from writing into documents that a newer version has begun to change.

A newer version raises the format of a database at its start, while nothing of ours should run. What
runs all the same looks every few seconds, and ends; what begins does nothing before it has looked.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from actors.protocol.store import StorageUnavailableError, UnsuitableDatabaseError

LOOK_SECONDS = 2.0  # Between two looks: so long one may still write for the version it is.
RETRY_SECONDS = 1.0  # Pause before a database is looked at again that would not do.

logger = logging.getLogger(__name__)


class Formats(Protocol):
    """Says of a database's format. Both block, and may raise StorageUnavailableError."""

    def check(self) -> None:
        """Return if the format is ours. UnsuitableDatabaseError: it is another."""

    def check_not_newer(self) -> None:
        """Return unless the format is a newer version's: UnsuitableDatabaseError."""


class FormatWatch:
    """What one process knows of the format."""

    def __init__(self, actor: str, formats: Formats) -> None:
        self._actor = actor
        self._formats = formats
        self._is_ours = asyncio.Event()

    async def confirm(self) -> None:
        """Return if the format was ours. Raises UnsuitableDatabaseError, StorageUnavailableError."""
        if not self._is_ours.is_set():
            await asyncio.to_thread(self._formats.check)
            self._is_ours.set()

    async def ready(self) -> None:
        """Return as soon as the format is ours, as `keep` finds."""
        await self._is_ours.wait()

    async def keep(self) -> None:
        """Look for ever. UnsuitableDatabaseError: this process has to end."""
        await self._begin()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await asyncio.to_thread(self._formats.check_not_newer)
            except StorageUnavailableError:  # Nothing is written there now.
                continue
            except UnsuitableDatabaseError as error:
                logger.critical("%s ends: %s", self._actor, error)
                raise

    async def follow(self, tell: Callable[[str], None]) -> None:
        """Look for ever; tell why nothing may be written now, or nothing at all.

        For who has to go on: while replicas of HTTP start again and again, callers hang.
        """
        told = ""
        while True:
            try:
                await asyncio.to_thread(self._formats.check_not_newer)
            except StorageUnavailableError:  # Nothing is written there now.
                pass
            except UnsuitableDatabaseError as error:
                if not told:
                    logger.error("%s answers nobody: %s", self._actor, error)  # noqa: TRY400
                tell(told := str(error))
            else:
                tell(told := "")
            await asyncio.sleep(LOOK_SECONDS)

    async def _begin(self) -> None:
        told = ""
        while not self._is_ours.is_set():
            try:
                await self.confirm()
            except (StorageUnavailableError, UnsuitableDatabaseError) as error:
                if str(error) != told:
                    logger.error("%s: %s", self._actor, error)  # noqa: TRY400 - that says it all
                told = str(error)
                await asyncio.sleep(RETRY_SECONDS)
