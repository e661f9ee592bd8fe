"""The composition for Ray Serve: the HTTP edge on the shards, the keys and the database."""

import asyncio

from ray import serve
from ray.serve import Deployment
from starlette.types import ASGIApp

from actors.api_keys import KeyRing
from actors.edge.app import build_app
from actors.mongo.connection import connect, is_reachable
from actors.mongo.keys import MongoKeys
from actors.remote import RayShards
from actors.reports import ShardReport
from actors.router import Router, ShardLostError
from actors.settings import Settings

READY_SECONDS_MAX = 2.0  # How long the shards may take to show that they are there.


class RayBackend:
    """The backend of a Serve replica: shards through Ray, keys from MongoDB."""

    def __init__(self, settings: Settings) -> None:
        assert settings.mongo_uri is not None, "whoever deploys the edge knows the database"
        self._database = connect(settings.mongo_uri.get_secret_value(), settings.mongo_db)
        self._shards = RayShards()
        self.router = Router(self._shards, settings.request_timeout_seconds)
        self.keys = KeyRing(MongoKeys(self._database))

    async def reports(self) -> list[ShardReport]:
        """Return a report of every shard. ShardLostError: one did not answer."""
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                table = await self._shards.directory()
                return await asyncio.gather(*map(self._shards.report, range(table.shards)))
        except TimeoutError as error:
            raise ShardLostError from error

    async def missing(self) -> list[str]:
        """Return which parts of the service do not answer."""
        missing = []
        if not await asyncio.to_thread(is_reachable, self._database):
            missing.append("database")
        try:
            await self.reports()
        except ShardLostError:
            missing.append("shards")
        return missing


class Edge:
    """One replica of the HTTP edge."""

    def __init__(self, settings: Settings) -> None:
        self._backend = RayBackend(settings)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return build_app(self._backend)


edge: Deployment = serve.deployment(name="http")(serve.ingress()(Edge))
