"""Accounts whose journal has a gap: they are refused and named, and others do not wait for them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from actors.calls import UNAVAILABLE
from actors.counters import Counters
from actors.shards.inbox import Work
from actors.store import JournalGapError
from domain.recovery import Stored
from domain.values import UserId

logger = logging.getLogger(__name__)


class Committing(Protocol):
    """The part of a shard that answers batches."""

    name: str
    counters: Counters

    async def commit(self, batch: Sequence[Work]) -> None:
        """Answer every caller of a batch. Raises JournalGapError with some unanswered."""


async def commit_past_gaps(shard: Committing, batch: Sequence[Work]) -> None:
    """Commit a batch without the accounts that have a gap; they are read again at the next call."""
    while True:
        try:
            await shard.commit(batch)
        except JournalGapError as error:
            shard.counters.journal_gaps += len(error.missing)
            warn_of_gaps(shard.name, error.missing)
            for work in batch:
                if work.user_id in error.missing:
                    work.answer(UNAVAILABLE)
            batch = [work for work in batch if work.user_id not in error.missing]
        else:
            return


def load_past_gaps(
    shard: str, load: Callable[[Sequence[UserId]], list[Stored]], user_ids: Sequence[UserId]
) -> list[Stored]:
    """Load what can be, and name the rest. Blocks; may raise StorageUnavailableError."""
    while True:
        try:
            return load(user_ids)
        except JournalGapError as error:
            warn_of_gaps(shard, error.missing)
            user_ids = [user_id for user_id in user_ids if user_id not in error.missing]


def warn_of_gaps(shard: str, missing: Mapping[UserId, int]) -> None:
    """Name the accounts, and what is missing."""
    for user_id, seq in missing.items():
        logger.error(
            "%s: entry %d of %s is missing in the journal, and later ones are there: nothing is"
            " decided about this account until it is back or they are gone",
            shard,
            seq,
            user_id,
        )
