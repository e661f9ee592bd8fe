"""Puts Ray on the janitor: its shell, its options, and the way to it."""

import secrets
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import ray
from ray.actor import ActorClass, ActorHandle

from actors.cluster.resharding import Resharding, check_grown
from actors.janitor.anonymization import Anonymizations
from actors.janitor.discretion import DiscreetAgenda
from actors.janitor.jobs import JanitorJobs
from actors.janitor.scheduler import Run
from actors.mongo.accounts.leases import MongoLeases
from actors.mongo.clock import MongoWitnesses
from actors.mongo.directory import MongoDirectory
from actors.mongo.jobs.agenda import MongoAgenda
from actors.mongo.jobs.anonymizations import MongoAnonymizations
from actors.mongo.jobs.rename import MongoRenaming
from actors.mongo.jobs.store import MongoJobStore
from actors.mongo.stripe import MongoStripe
from actors.protocol.errors import UnavailableError
from actors.protocol.reports import AnonymizationReport, Anonymized, ReshardReport, SweepReport
from actors.remote.crew import RayCrew
from actors.remote.events import RayEvents
from actors.remote.handle import Handle
from actors.remote.metrics import SweepMetrics
from actors.remote.names import JANITOR
from actors.remote.options import NAMESPACE, start_actor
from actors.remote.process import TimedProcess, open_database, stand_back
from actors.remote.shards import RayShards
from actors.routing.router import Router
from actors.runtime.clock import real_time
from actors.runtime.clock_doubt import check_time
from actors.settings import Settings
from actors.stripe.api import StripeClientApi
from actors.stripe.lookups import RECONCILING_REQUESTS_PER_SECOND, Lookups
from actors.stripe.pace import Pace
from actors.stripe.reconciliation import Reconciliation
from domain.values import UserId

CALLS_MAX = 100  # Calls the janitor works on or holds at once.
LOOK_THROUGH_SECONDS_MAX = 600.0  # How long a query without an index may take.
EXPIRY_SECONDS_MAX = 30.0  # How long a page of expiries may take, repeats included.


class JanitorActor(TimedProcess):
    """The janitor as a Ray actor. A restart runs `__init__` again; it asks nothing of anybody."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        stand_back()
        super().__init__(JANITOR, settings)
        database = self._database
        shards = RayShards()
        agenda = DiscreetAgenda(MongoAgenda(database), real_time)
        self._jobs = JanitorJobs(
            f"{JANITOR}-{secrets.token_hex(8)}",
            settings.schedule,
            agenda,
            MongoJobStore(database, settings.timezone),
            shards,
            Router(shards, EXPIRY_SECONDS_MAX),
            clock=self._clock,
            publish=SweepMetrics().publish,
            reconcile=reconciliation(settings, MongoStripe(database)),
            check_time=lambda: check_time(MongoWitnesses(database), self._clock.real()),
            sleep=self._clock.sleep,
        )
        self._resharding = Resharding(
            MongoDirectory(database),
            RayCrew(settings, shards, MongoLeases(database)),
            clock=real_time,
        )
        # Some collections are looked through.
        patient = open_database(settings, socket_seconds=LOOK_THROUGH_SECONDS_MAX)
        self._anonymizations = Anonymizations(
            MongoAnonymizations(database),
            MongoRenaming(patient, settings.users_collection),
            shards,
            RayEvents(),
            real_time,
            renames=agenda.rename,
            check_told=partial(check_grown, MongoDirectory(database)),
        )
        self._steps = [self._jobs.janitor.steps]
        self._loops.start(self._begin())
        self._loops.start(self._resharding.run())
        self._loops.start(self._anonymizations.run())

    async def validate(self, *, repair: bool) -> SweepReport:
        """Run a whole sweep now."""
        await self._format.confirm()
        return await self._jobs.validate(repair=repair)

    async def expire(self) -> SweepReport:
        """Expire what has ended, now."""
        await self._format.confirm()
        return await self._jobs.expire()

    async def reconcile(self) -> SweepReport | None:
        """Compare with Stripe, now; None: Stripe is not set up."""
        await self._format.confirm()
        return await self._jobs.reconcile()

    async def reshard(self, shards: int) -> ReshardReport:
        """Begin to change the number of shards; report of what runs now, be it another change."""
        await self._format.confirm()
        return await self._resharding.begin(shards)

    async def resharding(self) -> ReshardReport:
        """Report of the newest change of the number of shards."""
        return await self._resharding.report()

    async def anonymize(
        self, user_id: UserId, by: str | None, key: str | None
    ) -> Anonymized | None:
        """Make a user anonymous; None: the key was used for another user."""
        await self._format.confirm()
        return await self._anonymizations.ask(user_id, by, key)

    async def anonymizations(self, limit: int) -> list[AnonymizationReport]:
        """Return the newest anonymisations, newest first."""
        return await self._anonymizations.newest(limit)

    async def _begin(self) -> None:
        await self._know_the_time()
        self._loops.start(self._jobs.watch_time())
        for job in self._jobs.janitor.jobs.values():
            self._loops.start(self._jobs.janitor.follow(job))

    async def close(self) -> None:
        """End the loops and give back what is claimed."""
        await super().close()
        await self._jobs.janitor.close()


def reconciliation(settings: Settings, store: MongoStripe) -> Run | None:
    """Return the job that compares with Stripe, where there is a key to ask it with."""
    if settings.stripe_api_key is None:
        return None
    api = StripeClientApi(settings.stripe_api_key.get_secret_value(), settings.stripe_api_base)
    lookups = Lookups(api, time.monotonic, Pace(time.monotonic, RECONCILING_REQUESTS_PER_SECOND))
    return Reconciliation(store, lookups, lambda: datetime.now(UTC)).run


RemoteJanitor: ActorClass[JanitorActor] = ray.remote(JanitorActor)


def start_janitor(settings: Settings) -> ActorHandle[JanitorActor]:
    """Start the janitor, or return the one that runs already."""
    return start_actor(RemoteJanitor, JANITOR, (settings,), CALLS_MAX)


class RayJanitor:
    """The way to the janitor from any process. Every call may raise UnavailableError."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self._actor = Handle[JanitorActor](JANITOR, UnavailableError, namespace)

    async def validate(self, *, repair: bool) -> SweepReport:
        """Run a whole sweep now."""
        return await self._actor.ask(JanitorActor.validate, repair=repair)

    async def expire(self) -> SweepReport:
        """Expire what has ended, now."""
        return await self._actor.ask(JanitorActor.expire)

    async def reconcile(self) -> SweepReport | None:
        """Compare with Stripe, now; None: Stripe is not set up."""
        return await self._actor.ask(JanitorActor.reconcile)

    async def reshard(self, shards: int) -> ReshardReport:
        """Begin to change the number of shards; report of what runs now, be it another change."""
        return await self._actor.ask(JanitorActor.reshard, shards)

    async def resharding(self) -> ReshardReport:
        """Report of the newest change of the number of shards."""
        return await self._actor.ask(JanitorActor.resharding)

    async def anonymize(
        self, user_id: UserId, by: str | None, key: str | None
    ) -> Anonymized | None:
        """Make a user anonymous; None: the key was used for another user."""
        return await self._actor.ask(JanitorActor.anonymize, user_id, by, key)

    async def anonymizations(self, limit: int) -> list[AnonymizationReport]:
        """Return the newest anonymisations, newest first."""
        return await self._actor.ask(JanitorActor.anonymizations, limit)

    async def set_clock(self, ahead: timedelta) -> None:
        """Set the janitor's clock so far ahead of the real time."""
        await self._actor.ask(JanitorActor.set_clock, ahead)
