"""Puts Ray on the resharding: starts, tells and ends the actors of shards."""

import asyncio
import contextlib

import ray
from ray.exceptions import RayError

from actors.mongo.accounts.leases import MongoLeases
from actors.protocol.directory import shard_name
from actors.protocol.errors import ShardLostError
from actors.remote.options import NAMESPACE
from actors.remote.shards import RayShards
from actors.remote.start_shard import start_shard
from actors.remote.start_steps import START_SECONDS_MAX
from actors.settings import Settings

HAND_OVER_SECONDS_MAX = 20.0  # How long one may take to say that it has handed over.
TAKE_UP_SECONDS_MAX = 300.0  # It reads the newest part of the journal.
CLOSE_SECONDS_MAX = 5.0  # How long one may take to end its loops; then it is killed amid them.


class RayCrew:
    """The shards as Ray's actors."""

    def __init__(self, settings: Settings, shards: RayShards, marks: MongoLeases) -> None:
        self._settings = settings
        self._shards = shards
        self._marks = marks

    async def start(self, index: int) -> None:
        """Return once a shard runs and answers. One that is being ended has to be gone first."""
        await asyncio.to_thread(self._marks.begin_mark, shard_name(index))
        async with asyncio.timeout(START_SECONDS_MAX):
            try:
                await start_shard(self._settings, index).report.remote()
            except RayError as error:
                raise ShardLostError(shard_name(index)) from error

    async def hand_over(self, index: int, version: int) -> int:
        """Have a shard follow the table, and return under which version it has handed over."""
        async with asyncio.timeout(HAND_OVER_SECONDS_MAX):
            return await self._shards.hand_over(index, version)

    async def take_up(self, index: int) -> None:
        """Have a shard look after what its new users' former owners could not write."""
        async with asyncio.timeout(TAKE_UP_SECONDS_MAX):
            await self._shards.take_up(index)

    async def end(self, index: int) -> None:
        """Return once a shard runs no longer, if it did, and its clean mark is gone."""
        name = shard_name(index)
        with contextlib.suppress(ValueError):  # Nothing has this name any more.
            handle = ray.get_actor(name, namespace=NAMESPACE)
            with contextlib.suppress(RayError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS_MAX):
                    await handle.close.remote()
            ray.kill(handle)
        await asyncio.to_thread(self._marks.end_mark, name)
