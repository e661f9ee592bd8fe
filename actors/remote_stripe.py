"""Puts Ray on Stripe's work: the actor's shell and its options."""

import time
from datetime import UTC, datetime
from typing import cast

import ray
from ray.actor import ActorClass, ActorHandle

from actors.loops import Loops
from actors.mongo.connection import connect
from actors.mongo.stripe import MongoStripe
from actors.ray_shards import RayShards
from actors.remote import NAMESPACE
from actors.router import Router
from actors.settings import Settings
from actors.stripe_api import StripeClientApi
from actors.stripe_applying import Applier
from actors.stripe_lookups import Lookups
from actors.stripe_work import StripeWork

STRIPE = "stripe"
TELLING_SECONDS_MAX = 10.0  # How long a shard may take for one command, repeats included.


class StripeActor:
    """Stripe's work as a Ray actor. A restart begins here again and finds what is left over."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        assert settings.mongo_uri is not None, "whoever starts actors knows the database"
        assert settings.stripe_api_key is not None, "without a key there is nothing to start"
        database = connect(settings.mongo_uri.get_secret_value(), settings.mongo_db)
        api = StripeClientApi(settings.stripe_api_key.get_secret_value(), settings.stripe_api_base)
        store = MongoStripe(database)
        clock = lambda: datetime.now(UTC)  # noqa: E731 - one clock for both
        router = Router(RayShards(), TELLING_SECONDS_MAX)
        applier = Applier(store, Lookups(api, time.monotonic), router, clock)
        work = StripeWork(store, applier, livemode=settings.stripe_livemode, clock=clock)
        self._loops = Loops(STRIPE)
        self._loops.start(work.run())

    def __repr__(self) -> str:
        return "StripeActor()"

    async def ping(self) -> None:
        """Return: the actor is there."""

    async def close(self) -> None:
        """End the loop: what it leaves undone is found at the next start."""
        await self._loops.stop()


RemoteStripe: ActorClass[StripeActor] = ray.remote(StripeActor)


def start_stripe(settings: Settings) -> ActorHandle[StripeActor]:
    """Start the actor, or return the one that runs already."""
    handle = RemoteStripe.options(
        name=STRIPE,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=0,
        enable_task_events=False,
    ).remote(settings)
    return cast("ActorHandle[StripeActor]", handle)
