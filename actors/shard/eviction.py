"""How a shard lets go of a user who is being made anonymous: nothing in its RAM names them.

The account is fenced before (`actors/mongo/jobs/fences.py`), so what is let go does not come back.
"""

import asyncio
import contextlib
from typing import Protocol

from actors.protocol.calls import Outcome, Reply
from actors.protocol.directory import slot_of
from actors.protocol.store import StorageUnavailableError, ViewsRefusedError
from actors.shard.inbox import Inbox
from actors.shard.shard import Shard
from domain.values import UserId, user_digest

PAUSE_SECONDS = 0.05  # Before a full inbox is asked again.


class Forgetting(Protocol):
    """The store, as it is seen from here."""

    def doubt(self) -> None:
        """Have the next read wait for all that others may have written until now."""

    def let_go(self, user_id: UserId) -> float:
        """Forget a user, and return for how many seconds no append was in doubt."""


async def let_go(shard: Shard, store: Forgetting, user_id: UserId) -> float:
    """Forget a user who is fenced, and return for how many seconds no append was in doubt.

    What was accepted before is decided and answered before. Raises StorageUnavailableError.
    """
    store.doubt()  # Else a primary that was deposed could show the account without its fence.
    reply = await _read_anew(shard.inbox, user_id)
    if reply.outcome is Outcome.UNAVAILABLE and user_id not in shard.accounts.broken:
        raise StorageUnavailableError("the account could not be looked at")
    with contextlib.suppress(ViewsRefusedError):  # Whoever renames the documents says so.
        await shard.views.settle(user_id)
    # After this point nothing waits, so nothing comes in between.
    shard.accounts.let_go(user_id)
    shard.views.drop(user_id)
    shard.reloader.drop(user_id)
    user_digest.cache_clear()
    slot_of.cache_clear()
    return store.let_go(user_id)


async def _read_anew(inbox: Inbox, user_id: UserId) -> Reply:
    """Have the shard's loop look at an account anew, behind all that has arrived."""
    while True:
        reply = inbox.put(user_id, None, anew=True)
        if reply is not None:
            return await reply
        await asyncio.sleep(PAUSE_SECONDS)
