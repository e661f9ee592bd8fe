"""What comes after an append that failed: its accounts are forgotten, and what has landed is looked up.

A batch may have landed in part: entries are written in order, up to one that is refused, or that was lost
on its way. What has landed of it is in no account of RAM and in no view until its users are loaded.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from actors.protocol.store import AppendInDoubtError, AppendRefusedError
from actors.runtime.counters import Counters
from actors.shard.accounts import Accounts
from actors.shard.broken_journals import BrokenJournals
from actors.shard.draft import Draft
from actors.shard.idempotency import CommandName, answers_of
from actors.shard.inbox import Batch, repeat
from domain.documents.journal import SpoiltEntry
from domain.messages import Entry

Find = Callable[[Sequence[CommandName]], Awaitable[Sequence[Entry | SpoiltEntry]]]
"""Returns the entries that these commands have."""


class Rest(NamedTuple):
    """What is still to be answered of a batch."""

    batch: Batch
    landed: set[CommandName]
    """Commands of it that were done, and whose callers have not been told."""


class FailedAppends:
    """Says what is to be decided again."""

    def __init__(
        self, accounts: Accounts, broken: BrokenJournals, counters: Counters, find: Find
    ) -> None:
        self._accounts = accounts
        self._broken = broken
        self._counters = counters
        self._find = find

    async def look(self, draft: Draft, batch: Batch, error: Exception) -> Rest:
        """Forget the accounts of a draft, and look which of its entries have landed."""
        self._counters.note_failed_append(in_doubt=(doubt := isinstance(error, AppendInDoubtError)))
        for user_id in draft.accounts:
            self._accounts.forget(user_id)
        self._accounts.filling.leave_out(draft.accounts, draft.now)
        if doubt:
            repeat(batch)
        found = await self._find([(entry.user_id, entry.key) for entry in draft.entries])
        self._accounts.answers.remember(answers_of(found))
        # In doubt, and where a rival has decided the same, nobody can tell whose an entry is.
        written = error.landed if isinstance(error, AppendRefusedError) else 0
        confirmed = {(entry.user_id, entry.key) for entry in found}
        landed = [e for e in draft.entries[:written] if (e.user_id, e.key) in confirmed]
        self._counters.note_landed(landed)
        rest = self._broken.answered_past_spoilt(batch, found)
        return Rest(rest, {(entry.user_id, entry.key) for entry in landed})
