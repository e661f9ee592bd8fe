"""After a restart: takes up what an earlier incarnation of a shard left undone."""

import asyncio
import logging
from collections.abc import Container, Sequence
from datetime import UTC, datetime

from actors.protocol.calls import Outcome
from actors.protocol.store import LATE_APPEND, StorageUnavailableError, Store
from actors.shard.inbox import Inbox
from domain.documents.subscriptions import Quarantined
from domain.values import UserId

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)  # Another machine's clock may have been ahead by any time.
CATCH_UP_CHUNK = 500  # Accounts read together while catching up after a restart.

logger = logging.getLogger(__name__)


async def lagging_users(store: Store) -> list[UserId]:
    """Return whose views an earlier incarnation may have left behind. StorageUnavailableError."""
    since = await asyncio.to_thread(store.clean_until) or EPOCH
    return list(await asyncio.to_thread(store.appended_since, since - LATE_APPEND, END))


async def load(
    shard: str, inbox: Inbox, users: Sequence[UserId], broken: Container[UserId]
) -> None:
    """Have a shard's loop load accounts: what they lack is written to the views behind it.

    Raises StorageUnavailableError; it may be begun again at any time.
    """
    for start in range(0, len(users), CATCH_UP_CHUNK):
        chunk = users[start : start + CATCH_UP_CHUNK]
        for user_id, reply in [(u, inbox.put(u, None)) for u in chunk]:
            if reply is None or (await reply).outcome is not Outcome.DONE:
                if reply is not None and user_id in broken:
                    continue  # It stays as it is until it is mended: others need not wait for it.
                raise StorageUnavailableError("not every account could be read")
        done = start + len(chunk)
        logger.info("%s: caught up with %d accounts of %d", shard, done, len(users))


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
