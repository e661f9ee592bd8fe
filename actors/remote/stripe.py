"""Puts Ray on Stripe's work: the actor's shell and its options."""

import asyncio
import contextlib
import time
from datetime import timedelta

import ray
from ray.actor import ActorClass, ActorHandle
from ray.exceptions import RayError

from actors.mongo.clock import MongoClock
from actors.mongo.connection import connect
from actors.mongo.stored_format import MongoFormats
from actors.mongo.stripe import MongoStripe
from actors.protocol.errors import UnavailableError
from actors.protocol.store import StorageUnavailableError
from actors.remote.metrics import METRICS_SECONDS, CounterMetrics
from actors.remote.names import STRIPE
from actors.remote.options import NAMESPACE, RETRY_SECONDS, start_actor
from actors.remote.shards import RayShards
from actors.routing.router import Router
from actors.runtime.clock import ServiceClock
from actors.runtime.counters import StripeCounters
from actors.runtime.format_watch import FormatWatch
from actors.runtime.loops import Loops
from actors.settings import Settings
from actors.stripe.api import StripeClientApi
from actors.stripe.applier import Applier, Turns
from actors.stripe.lookups import REQUESTS_PER_SECOND, Lookups
from actors.stripe.pace import Pace
from actors.stripe.worker import StripeWork

CALLS_MAX = 100  # Signs of life and the clock's settings, answered at once.
COUNT_SECONDS = 10.0  # How often it is counted what waits.
TELLING_SECONDS_MAX = 10.0  # How long a shard may take for one command, repeats included.


class StripeActor:
    """Stripe's work as a Ray actor. A restart begins here again and finds what is left over."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        assert settings.mongo_uri is not None, "whoever starts actors knows the database"
        assert settings.stripe_api_key is not None, "without a key there is nothing to start"
        database = connect(settings.mongo_uri.get_secret_value(), settings.mongo_db)
        api = StripeClientApi(settings.stripe_api_key.get_secret_value(), settings.stripe_api_base)
        store = MongoStripe(database)
        router = Router(RayShards(), TELLING_SECONDS_MAX)
        self._clock = ServiceClock()
        # What is compared with Stripe's own clock stays with the real time: a test clock that is
        # ahead would make whatever Stripe tells next look old.
        pace, turns = Pace(time.monotonic, REQUESTS_PER_SECOND), Turns()
        fresh, behind = (
            Applier(
                store,
                Lookups(api, time.monotonic, pace, urgent=urgent),
                router,
                self._clock.real,
                turns,
            )
            for urgent in (True, False)
        )
        self._work = StripeWork(
            store, fresh, behind, livemode=settings.stripe_livemode, clock=self._clock
        )
        self._loops = Loops(STRIPE, FormatWatch(STRIPE, MongoFormats(database)))
        self._loops.start(self._begin(MongoClock(database), settings))

    def __repr__(self) -> str:
        return "StripeActor()"

    async def set_clock(self, ahead: timedelta) -> None:
        """Be so far ahead of the real time from now on; what is due then is tried now."""
        self._clock.set_forward(ahead)

    async def _begin(self, clock_store: MongoClock, settings: Settings) -> None:
        while settings.test_clock:
            try:
                self._clock.set_forward(await asyncio.to_thread(clock_store.offset))
                break
            except StorageUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
        self._loops.start(self._publish_metrics())
        self._loops.start(self._count())
        await self._work.run()

    async def _publish_metrics(self) -> None:
        metrics = CounterMetrics(STRIPE, STRIPE, StripeCounters())
        while True:
            metrics.publish(self._work.counters)
            await asyncio.sleep(METRICS_SECONDS)

    async def _count(self) -> None:
        while True:
            with contextlib.suppress(StorageUnavailableError):
                await self._work.count()
            await asyncio.sleep(COUNT_SECONDS)

    async def ping(self) -> str | None:
        """Return what stands still; None: the loop turns, and all goes on."""
        return self._work.steps.standstill()

    async def close(self) -> None:
        """End the loop: what it leaves undone is found at the next start."""
        await self._loops.stop()


RemoteStripe: ActorClass[StripeActor] = ray.remote(StripeActor)


def start_stripe(settings: Settings) -> ActorHandle[StripeActor]:
    """Start the actor, or return the one that runs already."""
    return start_actor(RemoteStripe, STRIPE, (settings,), CALLS_MAX)


async def set_stripe_clock(ahead: timedelta, namespace: str = NAMESPACE) -> None:
    """Set the actor's clock so far ahead. Raises UnavailableError."""
    try:
        handle: ActorHandle[StripeActor] = ray.get_actor(STRIPE, namespace=namespace)
        await handle.set_clock.remote(ahead)
    except (RayError, ValueError) as error:  # ValueError: no actor has this name now.
        raise UnavailableError from error
