"""Puts Ray on the relay: the EventActor, its handlers, and the way to it."""

from datetime import UTC, datetime
from functools import partial

import ray
from ray.actor import ActorClass, ActorHandle

from actors.events.consumer import SLOTS, Consumer
from actors.events.delivery import Handler
from actors.events.endpoint_reports import EndpointTrial
from actors.events.handlers import FeaturesHandler, LogHandler, ProfileHandler
from actors.events.http_client import HttpOut
from actors.events.mail import MailHandler, MailTemplates
from actors.events.records import EventPage, EventQuery
from actors.events.relay import Relay
from actors.events.reports import EventsReport
from actors.events.roster import Roster, Ways
from actors.events.smtp import SmtpServer
from actors.events.webhooks import WebhookHandler, target_of
from actors.mongo.embedded_wire import Documents
from actors.mongo.endpoints import MongoEndpoints
from actors.mongo.events import MongoEvents
from actors.mongo.profiles import MongoProfiles
from actors.protocol.errors import UnavailableError
from actors.remote.handle import Handle
from actors.remote.metrics import CounterMetrics, publish_forever
from actors.remote.names import EVENTS
from actors.remote.options import NAMESPACE, start_actor
from actors.remote.process import NICENESS_OF_EVENTS, Process, stand_back
from actors.runtime.counters import EventCounters
from actors.settings import Settings
from domain.values import UserId

CALLS_MAX = 5_000  # Questions of programs that wait for events; beyond, they try again.


def make_handlers(settings: Settings, database: Documents) -> list[Handler]:
    """Return the handlers that the settings switch on."""
    profiles = MongoProfiles(database, settings.users_collection)
    handlers: list[Handler] = []
    if settings.log_events:
        handlers.append(LogHandler())
    if settings.profile:
        handlers.append(ProfileHandler(profiles))
    if settings.features:
        handlers.append(FeaturesHandler(profiles, settings.features))
    if settings.smtp_host:
        server = SmtpServer(
            settings.smtp_host,
            settings.smtp_port,
            settings.smtp_tls,
            settings.smtp_user,
            settings.smtp_password.get_secret_value(),
        )
        handlers.append(
            MailHandler(
                server,
                profiles,
                MailTemplates(settings.mail_templates),
                sender=settings.mail_from,
                administrators=settings.alert_to,
            )
        )
    handlers.extend(
        WebhookHandler(target_of(endpoint), HttpOut(SLOTS), lambda: datetime.now(UTC))
        for endpoint in settings.webhooks
    )
    return handlers


def make_roster(settings: Settings, database: Documents) -> Roster:
    """Return the endpoints that are made at run time."""
    ways = Ways(partial(HttpOut, SLOTS), partial(HttpOut, SLOTS, settings.endpoint_hosts))
    store = MongoEndpoints(database)
    return Roster(store, settings.webhooks, ways, lambda: datetime.now(UTC))


class EventActor(Process):
    """The relay as a Ray actor. A restart runs `__init__` again and goes on where it was."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        stand_back(NICENESS_OF_EVENTS)
        super().__init__(EVENTS, settings)
        self._relay = Relay(
            MongoEvents(self._database),
            make_handlers(settings, self._database),
            clock=lambda: datetime.now(UTC),
            give_up_after=settings.event_give_up_after,
            roster=make_roster(settings, self._database),
        )
        self._steps = [self._relay.steps]
        self._loops.start(self._relay.run())
        metrics = EndpointMetrics(self._relay)
        self._loops.start(publish_forever(metrics.publish))

    async def close(self) -> None:
        """End what is open at the database. What is on its way to a handler comes again."""
        await self._relay.close()

    async def place(self, after: str | None, of: UserId | None = None) -> int:
        """Return the place after which events come. UnknownEventError."""
        return await self._relay.place(after, of)

    async def mark(self, order: int, of: UserId | None = None) -> str:
        """Return an id after which a stream goes on as it does from a place."""
        return await self._relay.mark(order, of)

    async def follow(self, query: EventQuery, order: int) -> EventPage:
        """Return the next events for a program."""
        return await self._relay.follow(query, order)

    async def let_go(self, user_id: UserId) -> None:
        """Forget the events of a user who is made anonymous, as they were."""
        await self._relay.let_go(user_id)

    async def report(self) -> EventsReport:
        """Return what operators read."""
        return await self._relay.report()

    async def redeliver(self, event_id: str) -> list[str]:
        """Deliver an event again; return to whom. UnknownEventError."""
        await self._format.confirm()
        return await self._relay.redeliver(event_id)

    async def try_endpoint(self, endpoint_id: str) -> EndpointTrial:
        """Send one test event to an endpoint, and tell what came of it. UnknownEndpointError."""
        return await self._relay.try_endpoint(endpoint_id)


class EndpointMetrics:
    """The counters of all consumers as Ray metrics, also of those that come and go."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._published: dict[str, tuple[Consumer, CounterMetrics[EventCounters]]] = {}

    def publish(self) -> None:
        """Bring Ray's metrics up to what was counted; of what is gone, nothing is undelivered."""
        there = self._relay.consumers
        for name in self._published.keys() - there.keys():
            self._published.pop(name)[1].publish(EventCounters())
        for name, consumer in there.items():
            known = self._published.get(name)
            if known is None or known[0] is not consumer:
                known = consumer, CounterMetrics("endpoint", name, EventCounters())
                self._published[name] = known
            known[1].publish(self._count(consumer))

    def _count(self, consumer: Consumer) -> EventCounters:
        health, lag = consumer.health, self._relay.lag_of(consumer)
        return EventCounters(
            lag, health.delivered, health.failures, health.dead, int(health.is_down)
        )


RemoteEvents: ActorClass[EventActor] = ray.remote(EventActor)


def start_events(settings: Settings) -> ActorHandle[EventActor]:
    """Start the relay, or return the one that runs already."""
    return start_actor(RemoteEvents, EVENTS, (settings,), CALLS_MAX)


class RayEvents:
    """The way to the relay from any process. Every call may raise UnavailableError."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self._actor = Handle[EventActor](EVENTS, UnavailableError, namespace, refusal=ValueError)

    async def place(self, after: str | None, of: UserId | None = None) -> int:
        """Return the place after which events come. UnknownEventError."""
        return await self._actor.ask(EventActor.place, after, of)

    async def mark(self, order: int, of: UserId | None = None) -> str:
        """Return an id after which a stream goes on as it does from a place."""
        return await self._actor.ask(EventActor.mark, order, of)

    async def follow(self, query: EventQuery, order: int) -> EventPage:
        """Return the next events for a program."""
        return await self._actor.ask(EventActor.follow, query, order)

    async def let_go(self, user_id: UserId) -> None:
        """Have the events of a user who is made anonymous forgotten, as they were."""
        await self._actor.ask(EventActor.let_go, user_id)

    async def report(self) -> EventsReport:
        """Return what operators read."""
        return await self._actor.ask(EventActor.report)

    async def redeliver(self, event_id: str) -> list[str]:
        """Deliver an event again; return to whom. UnknownEventError."""
        return await self._actor.ask(EventActor.redeliver, event_id)

    async def try_endpoint(self, endpoint_id: str) -> EndpointTrial:
        """Send one test event to an endpoint, and tell what came of it. UnknownEndpointError."""
        return await self._actor.ask(EventActor.try_endpoint, endpoint_id)
