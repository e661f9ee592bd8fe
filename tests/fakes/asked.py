"""Queries to one shard of this process, with the lists read beside it, as `RayShards` puts them."""

from functools import partial

from actors.protocol.calls import Reply
from actors.protocol.queries import ChangeQuery, Query
from actors.protocol.store import Reads
from actors.shard.lists import Lists, ask_for_list
from actors.shard.queries import Queries
from actors.shard.shard import Shard
from domain.values import Policy


class AllQueries:
    """Answers every query."""

    def __init__(self, shard: Shard, reads: Reads, policy: Policy) -> None:
        self._queries = Queries(shard, reads)
        self.settle = self._queries.answer
        self._lists = Lists(reads, policy)

    async def answer(self, version: int, query: Query) -> Reply:
        """Return the reply. ValueError: the cursor is not one of ours."""
        if isinstance(query, ChangeQuery):
            return await self._queries.answer(version, query)
        settle = partial(self._queries.answer, version)
        return await ask_for_list(query, settle, self._lists.answer)
