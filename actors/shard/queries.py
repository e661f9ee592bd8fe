"""What is asked of a shard beside commands and statuses: lists, holds, a change to be seen at once.

Lists, open holds among them, are read elsewhere (`actors/shard/lists.py`). The shard only sees to it that its user's views contain
every acknowledged write.
"""

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor

from actors.protocol.calls import MOVED, UNAVAILABLE, Call, Envelope, Outcome, Reply
from actors.protocol.queries import (
    QUERY_SECONDS_MAX,
    ChangeQuery,
    Held,
    SettleQuery,
    ShardQuery,
)
from actors.protocol.store import Reads, StoreError
from actors.shard.shard import Shard
from domain.api.answers import SubscriptionRecord
from domain.ids import shown_id
from domain.values import UserId

# Never those of the lease and the views: what changes a subscription waits for none of them.
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="queries")


class Queries:
    """Answers for the users of one shard."""

    def __init__(self, shard: Shard, reads: Reads) -> None:
        self._shard = shard
        self._reads = reads

    async def answer(self, version: int, query: ShardQuery) -> Reply:
        """Return the answer to one query."""
        try:
            async with asyncio.timeout(QUERY_SECONDS_MAX):
                if isinstance(query, ChangeQuery):
                    return await self._change(version, query.call)
                # The account is loaded first: that takes up entries the views may lack.
                status = (await self._shard.handle(Envelope(version, (), (query.user_id,))))[0]
                if isinstance(query, SettleQuery):
                    return await self._settled(query, status)
                return self._held(query.user_id) if status.outcome is Outcome.DONE else status
        except (StoreError, TimeoutError):
            return UNAVAILABLE

    async def _settled(self, query: SettleQuery, status: Reply) -> Reply:
        if status.outcome is Outcome.DONE:
            await self._shard.settle(query.user_id)
        elif query.though_broken and query.user_id in self._shard.accounts.broken:
            return Reply(Outcome.DONE)
        return status

    def _held(self, user_id: UserId) -> Reply:
        """Return the account of a user. 500 holds with long details would take 150 ms to write out."""
        account = self._shard.accounts.get(user_id)
        if account is None:  # Forgotten since it was read: the caller asks again.
            return MOVED
        return Reply(Outcome.DONE, pickle.dumps(Held(account, self._shard.now())))

    async def _change(self, version: int, call: Call) -> Reply:
        user_id = call.command.user_id
        (reply,) = await self._shard.handle(Envelope(version, (call,)))
        if reply.outcome is not Outcome.DONE:
            return reply
        await self._shard.settle(user_id)
        # Accounts do not hold what another program keeps in `stripe`.
        record = SubscriptionRecord.model_validate_json(reply.body or b"")
        reading = asyncio.get_running_loop().run_in_executor
        documents = await reading(_THREADS, self._reads.subscriptions_of, user_id)
        stripe = {shown_id(str(d["_id"])): d.get("stripe") for d in documents}.get(
            record.subscription_id
        )
        record = record.model_copy(update={"stripe": stripe})
        return reply._replace(body=record.model_dump_json().encode())
