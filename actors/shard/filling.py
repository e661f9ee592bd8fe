"""Who stays out while RAM is filled from pages that are read meanwhile.

A page may be as old as the beginning of the reading: an account to which anything has happened since
(a call, a change that was told) stays out.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from actors.runtime.counters import Counters
from domain.values import UserId, mark_of, owner_mark


class Filling:
    """What is told to the one who fills RAM: see `WarmStart`."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._wanted = asyncio.Event()
        self.is_outdated = False
        """Whether what is being filled now is to be dropped."""
        self._disturbed: set[UserId] = set()
        self._documents: set[str] = set()
        self._marks: set[str] = set()
        self._in_doubt: dict[UserId, datetime | None] = {}

    # --- what is told -------------------------------------------------------------------

    def begin(self) -> None:
        """Fill from the start. What is being filled now is dropped."""
        self.is_outdated = True
        self._wanted.set()

    def begin_again(self) -> None:
        """Drop what is being filled now, if anything, and fill from the start."""
        if self._counters.warming:
            self.begin()

    def resume(self) -> None:
        """Fill once more what is missing."""
        self._wanted.set()

    def disturb(self, user_id: UserId) -> None:
        """Leave out a user to whom something happens while accounts are read."""
        if self._counters.warming:
            self._disturbed.add(user_id)

    def disturb_documents(self, document_ids: Collection[str]) -> None:
        """Leave out the accounts of these documents, whosever they are."""
        if self._counters.warming:
            self._documents.update(document_ids)
            self._marks.update(mark_of(document_id) for document_id in document_ids)

    def leave_out(self, user_ids: Iterable[UserId], since: datetime | None = None) -> None:
        """Leave out users who may have an entry that neither RAM nor a view contains.

        Until they are loaded: that brings the entry. `since`: it is not older than this; None: it is one
        that no load can bring.
        """
        for user_id in user_ids:
            self._in_doubt[user_id] = since and (self._in_doubt.get(user_id) or since)

    def loaded(self, user_id: UserId) -> None:
        """Note that a user was loaded, with the entries that no view contains."""
        self._in_doubt.pop(user_id, None)

    # --- what is asked ------------------------------------------------------------------

    async def wanted(self) -> None:
        """Wait until RAM is to be filled."""
        await self._wanted.wait()
        self._wanted.clear()
        self.is_outdated = False

    def start(self, lagging: Iterable[UserId]) -> None:
        """Note that pages are read from now on; `lagging`: whose views lack something."""
        # Whoever lags now may not do so any more when the page is here.
        self._disturbed, self._documents, self._marks = set(lagging), set(), set()
        self._counters.warming = 1

    def end(self) -> None:
        """Note that no page is being read."""
        self._counters.warming = 0

    def left_out(self, is_mine: Callable[[UserId], bool]) -> dict[UserId, datetime]:
        """Return which of these users may have an entry that a load will bring, and since when."""
        return {user: since for user, since in self._in_doubt.items() if since and is_mine(user)}

    def admits(self, user_id: UserId, foreign_ids: Iterable[str]) -> bool:
        """Whether nothing has happened to an account and its documents since the reading began."""
        if user_id in self._disturbed or user_id in self._in_doubt:
            return False
        return not self._marks or (
            owner_mark(user_id) not in self._marks and self._documents.isdisjoint(foreign_ids)
        )
