"""After a restart: takes up what an earlier incarnation of a shard left undone."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from actors.protocol.calls import Outcome
from actors.protocol.store import LATE_APPEND, StorageUnavailableError, Store
from actors.shard.inbox import Inbox
from domain.documents.subscriptions import Quarantined
from domain.values import UserId

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
CATCH_UP_CHUNK = 500  # Accounts read together while catching up after a restart.

logger = logging.getLogger(__name__)


class Loading(Protocol):
    """The part of a shard that loads accounts because somebody reads them."""

    name: str
    inbox: Inbox
    broken: set[UserId]
    """Whose journal was broken when it was read last."""

    def now(self) -> datetime:
        """Return the shard's instant."""


async def load_lagging(shard: Loading, store: Store, is_mine: Callable[[UserId], bool]) -> None:
    """Load the accounts whose views an earlier incarnation left behind: the views follow.

    Raises StorageUnavailableError; it may be begun again at any time.
    """
    since = await asyncio.to_thread(store.clean_until) or BEGINNING
    until = shard.now() + LATE_APPEND
    users = await asyncio.to_thread(store.appended_since, since - LATE_APPEND, until)
    mine = [user_id for user_id in users if is_mine(user_id)]
    for start in range(0, len(mine), CATCH_UP_CHUNK):
        chunk = mine[start : start + CATCH_UP_CHUNK]
        for user_id, reply in [(u, shard.inbox.put(u, None)) for u in chunk]:
            if reply is None or (await reply).outcome is not Outcome.DONE:
                if reply is not None and user_id in shard.broken:
                    continue  # It stays as it is until it is mended: others need not wait for it.
                raise StorageUnavailableError("not every account could be read")
        done = start + len(chunk)
        logger.info("%s: caught up with %d accounts of %d", shard.name, done, len(mine))


def warn_of(shard: str, documents: Sequence[Quarantined]) -> int:
    """Name the documents that count as absent, and count them."""
    for document in documents:
        logger.warning(
            "%s: document %s cannot be read and counts as absent: %s",
            shard,
            document.document_id,
            document.reason,
        )
    return len(documents)
