"""Puts Ray on Stripe's work: the actor's shell and its options."""

import asyncio
import contextlib
import time
from datetime import timedelta

import ray
from ray.actor import ActorClass, ActorHandle

from actors.mongo.stripe import MongoStripe
from actors.protocol.errors import UnavailableError
from actors.protocol.store import StorageUnavailableError
from actors.remote.handle import Handle
from actors.remote.names import STRIPE
from actors.remote.options import NAMESPACE, start_actor
from actors.remote.process import TimedProcess
from actors.remote.shards import RayShards
from actors.routing.router import Router
from actors.runtime.counters import StripeCounters
from actors.settings import Settings
from actors.stripe.api import StripeClientApi
from actors.stripe.applier import Applier, Turns
from actors.stripe.lookups import REQUESTS_PER_SECOND, Lookups
from actors.stripe.pace import Pace
from actors.stripe.worker import StripeWork

CALLS_MAX = 100  # Signs of life and the clock's settings, answered at once.
COUNT_SECONDS = 10.0  # How often it is counted what waits.
TELLING_SECONDS_MAX = 10.0  # How long a shard may take for one command, repeats included.


class StripeActor(TimedProcess):
    """Stripe's work as a Ray actor. A restart begins here again and finds what is left over."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        super().__init__(STRIPE, settings)
        assert settings.stripe_api_key is not None, "without a key there is nothing to start"
        api = StripeClientApi(settings.stripe_api_key.get_secret_value(), settings.stripe_api_base)
        store = MongoStripe(self._database)
        router = Router(RayShards(), TELLING_SECONDS_MAX)
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
        self._steps = [self._work.steps]
        self._loops.start(self._begin())

    async def _begin(self) -> None:
        await self._know_the_time()
        self._publish(STRIPE, STRIPE, StripeCounters(), lambda: self._work.counters)
        self._loops.start(self._count())
        await self._work.run()

    async def _count(self) -> None:
        while True:
            with contextlib.suppress(StorageUnavailableError):
                await self._work.count()
            await asyncio.sleep(COUNT_SECONDS)


RemoteStripe: ActorClass[StripeActor] = ray.remote(StripeActor)


def start_stripe(settings: Settings) -> ActorHandle[StripeActor]:
    """Start the actor, or return the one that runs already."""
    return start_actor(RemoteStripe, STRIPE, (settings,), CALLS_MAX)


async def set_stripe_clock(ahead: timedelta, namespace: str = NAMESPACE) -> None:
    """Set the actor's clock so far ahead. Raises UnavailableError."""
    handle = Handle[StripeActor](STRIPE, UnavailableError, namespace)
    await handle.ask(StripeActor.set_clock, ahead)
