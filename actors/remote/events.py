"""Puts Ray on the relay: the EventActor, its handlers, and the way to it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import ray
from ray.actor import ActorClass, ActorHandle
from ray.exceptions import RayError, RayTaskError

from actors.events.consumer import SLOTS
from actors.events.delivery import Handler
from actors.events.handlers import FeaturesHandler, LogHandler, ProfileHandler
from actors.events.http_client import HttpOut
from actors.events.mail import MailHandler, MailTemplates
from actors.events.records import EventPage, EventQuery
from actors.events.relay import Relay
from actors.events.reports import EventsReport
from actors.events.smtp import SmtpServer
from actors.events.webhooks import WebhookHandler
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents
from actors.mongo.events import MongoEvents
from actors.mongo.profiles import MongoProfiles
from actors.mongo.stored_format import MongoFormats
from actors.protocol.errors import UnavailableError
from actors.remote.metrics import METRICS_SECONDS, CounterMetrics
from actors.remote.names import EVENTS
from actors.remote.options import NAMESPACE, start_actor
from actors.runtime.counters import EventCounters
from actors.runtime.format_watch import FormatWatch
from actors.runtime.loops import Loops
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
        WebhookHandler(endpoint, HttpOut(SLOTS), lambda: datetime.now(UTC))
        for endpoint in settings.webhooks
    )
    return handlers


class EventActor:
    """The relay as a Ray actor. A restart runs `__init__` again and goes on where it was."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        assert settings.mongo_uri is not None, "whoever starts actors knows the database"
        database = connect(settings.mongo_uri.get_secret_value(), settings.mongo_db)
        self._relay = Relay(
            MongoEvents(database),
            make_handlers(settings, database),
            clock=lambda: datetime.now(UTC),
            give_up_after=settings.event_give_up_after,
        )
        self._format = FormatWatch(EVENTS, MongoFormats(database))
        self._loops = Loops(EVENTS, self._format)
        self._loops.start(self._relay.run())
        self._loops.start(self._publish_metrics())

    def __repr__(self) -> str:
        return "EventActor()"

    async def ping(self) -> str | None:
        """Return what stands still; None: the loop turns, and all goes on."""
        return self._relay.steps.standstill()

    async def close(self) -> None:
        """End what is open at the database. What is on its way to a handler comes again."""
        await self._relay.close()

    async def place(self, after: str | None, of: UserId | None = None) -> int:
        """Return the place after which events come. UnknownEventError."""
        return await self._relay.place(after, of)

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

    async def _publish_metrics(self) -> None:
        metrics = {
            name: CounterMetrics("endpoint", name, EventCounters())
            for name in self._relay.consumers
        }
        while True:
            for name, consumer in self._relay.consumers.items():
                health, lag = consumer.health, self._relay.lag_of(consumer)
                counters = EventCounters(
                    lag, health.delivered, health.failures, health.dead, int(health.is_down)
                )
                metrics[name].publish(counters)
            await asyncio.sleep(METRICS_SECONDS)


RemoteEvents: ActorClass[EventActor] = ray.remote(EventActor)


def start_events(settings: Settings) -> ActorHandle[EventActor]:
    """Start the relay, or return the one that runs already."""
    return start_actor(RemoteEvents, EVENTS, (settings,), CALLS_MAX)


class RayEvents:
    """The way to the relay from any process. Every call may raise UnavailableError."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace

    async def place(self, after: str | None, of: UserId | None = None) -> int:
        """Return the place after which events come. UnknownEventError."""
        order: int = await self._ask("place", after, *([of] if of else []))
        return order

    async def follow(self, query: EventQuery, order: int) -> EventPage:
        """Return the next events for a program."""
        page: EventPage = await self._ask("follow", query, order)
        return page

    async def let_go(self, user_id: UserId) -> None:
        """Have the events of a user who is made anonymous forgotten, as they were."""
        await self._ask("let_go", user_id)

    async def report(self) -> EventsReport:
        """Return what operators read."""
        report: EventsReport = await self._ask("report")
        return report

    async def redeliver(self, event_id: str) -> list[str]:
        """Deliver an event again; return to whom. UnknownEventError."""
        names: list[str] = await self._ask("redeliver", event_id)
        return names

    async def _ask(self, method: str, *arguments: object) -> Any:
        try:
            handle = ray.get_actor(EVENTS, namespace=self._namespace)
        except ValueError as error:  # No actor has this name now.
            raise UnavailableError from error
        try:
            return await getattr(handle, method).remote(*arguments)
        except RayTaskError as error:
            if isinstance(error.cause, ValueError):  # No event has the caller's id.
                raise error.cause from None
            raise UnavailableError from error
        except RayError as error:
            raise UnavailableError from error
