"""Keeps the consumers of endpoints up to what is kept of these: made, changed and removed at run time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from datetime import datetime
from typing import NamedTuple

from actors.events.consumer import Consumer
from actors.events.delivery import Handler
from actors.events.endpoint_reports import EndpointTrial
from actors.events.endpoints import Endpoint, EndpointStore, UnknownEndpointError, environment_id
from actors.events.settings import WebhookEndpoint
from actors.events.trial import tried
from actors.events.webhooks import Post, Target, WebhookHandler, target_of, target_of_made
from actors.protocol.store import StorageUnavailableError

LOOK_SECONDS = 2.0  # How often what is kept is read: a change counts within this and a reading.
UNKNOWN = "there is no such endpoint"

logger = logging.getLogger(__name__)


class Ways(NamedTuple):
    """How requests leave the service. To be called in a loop."""

    anywhere: Callable[[], Post]
    """To the environment's endpoints."""
    outside: Callable[[], Post]
    """To those that are made at run time."""


class Serving(NamedTuple):
    """An endpoint as it is served."""

    endpoint: Endpoint
    handler: WebhookHandler
    consumer: Consumer
    task: asyncio.Task[None]


class Roster:
    """The endpoints of the run time, and their consumers among all consumers."""

    def __init__(
        self,
        store: EndpointStore,
        environment: Sequence[WebhookEndpoint],
        ways: Ways,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._environment = {environment_id(endpoint): endpoint for endpoint in environment}
        self._ways = ways
        self._clock = clock
        self._sleep = sleep
        self._serving: dict[str, Serving] = {}

    async def follow(
        self,
        consumers: MutableMapping[str, Consumer],
        consume: Callable[[Handler], Consumer],
        loops: asyncio.TaskGroup,
    ) -> None:
        """Have each endpoint that is switched on its consumer, for ever."""
        while True:
            try:
                kept = await asyncio.to_thread(self._store.list)
            except StorageUnavailableError as error:  # Those known last go on.
                logger.warning("the endpoints cannot be read: %r", error.__cause__)
            else:
                wanted = {one.endpoint_id: one for one in kept if one.enabled}
                await self._end_others(wanted, consumers)
                for endpoint_id in wanted.keys() - self._serving.keys():
                    self._begin(wanted[endpoint_id], consumers, consume, loops)
            await self._sleep(LOOK_SECONDS)

    def _begin(
        self,
        endpoint: Endpoint,
        consumers: MutableMapping[str, Consumer],
        consume: Callable[[Handler], Consumer],
        loops: asyncio.TaskGroup,
    ) -> None:
        handler = WebhookHandler(target_of_made(endpoint), self._ways.outside(), self._clock)
        consumer = consumers[handler.name] = consume(handler)
        task = loops.create_task(consumer.run())
        self._serving[endpoint.endpoint_id] = Serving(endpoint, handler, consumer, task)

    async def _end_others(
        self, wanted: MutableMapping[str, Endpoint], consumers: MutableMapping[str, Consumer]
    ) -> None:
        """End what is served otherwise than wanted. What is under way to it may come again."""
        for endpoint_id, serving in list(self._serving.items()):
            if wanted.get(endpoint_id) == serving.endpoint:
                continue
            del consumers[serving.endpoint.consumer], self._serving[endpoint_id]
            serving.task.cancel()
            await asyncio.wait([serving.task])
            await serving.consumer.ended()
            await serving.handler.close()

    async def try_endpoint(self, endpoint_id: str) -> EndpointTrial:
        """Send one test event, and tell what came of it. UnknownEndpointError.

        Raises StorageUnavailableError.
        """
        target, way = await self._target(endpoint_id)
        http = way()
        try:
            return await tried(target, endpoint_id, http, self._clock)
        finally:
            await http.close()

    async def _target(self, endpoint_id: str) -> tuple[Target, Callable[[], Post]]:
        if endpoint_id in self._environment:
            return target_of(self._environment[endpoint_id]), self._ways.anywhere
        made = await asyncio.to_thread(self._store.find, endpoint_id)
        if made is None:
            raise UnknownEndpointError(UNKNOWN)
        return target_of_made(made), self._ways.outside
