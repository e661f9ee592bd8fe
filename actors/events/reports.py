"""What operators read about events: `GET /admin/events`."""

from datetime import datetime

from pydantic import BaseModel

from actors.events.delivery import Health
from actors.events.records import DeadLetter
from actors.protocol.reports import StripeEventReport, StripeWaiting
from domain.events import EventRecord, EventType


class UndeliveredReport(BaseModel):
    """An event that a handler has not taken yet."""

    id: str
    type: EventType
    user_id: str
    created: datetime
    endpoint: str
    attempts: int
    last_error: str | None

    @classmethod
    def of(
        cls, endpoint: str, record: EventRecord, attempts: int, error: str | None
    ) -> "UndeliveredReport":
        """Return the report of an event on its way."""
        return cls(
            id=record.id,
            type=record.type,
            user_id=record.user_id,
            created=record.created,
            endpoint=endpoint,
            attempts=attempts,
            last_error=error,
        )


class DeadReport(UndeliveredReport):
    """An event that a handler was given up for."""

    died_at: datetime
    redelivering: bool
    """Somebody has asked for it to be delivered again."""

    @classmethod
    def of_letter(cls, letter: DeadLetter) -> "DeadReport":
        """Return the report of a dead letter."""
        shared = UndeliveredReport.of(
            letter.consumer, letter.event.record, letter.attempts, letter.error
        )
        return cls(**shared.model_dump(), died_at=letter.at, redelivering=letter.again)


class ConsumerReport(BaseModel):
    """How one handler does: a webhook's endpoint, mail, the log, the profile, the features."""

    endpoint: str
    healthy: bool
    undelivered: int
    delivered: int
    failures: int
    failures_in_a_row: int
    dead: int
    last_success_at: datetime | None
    last_error: str | None

    @classmethod
    def of(cls, endpoint: str, health: Health, undelivered: int) -> "ConsumerReport":
        """Return the report of a handler; counts are since its process started."""
        return cls(
            endpoint=endpoint,
            healthy=not health.is_down,
            undelivered=undelivered,
            delivered=health.delivered,
            failures=health.failures,
            failures_in_a_row=health.failures_in_a_row,
            dead=health.dead,
            last_success_at=health.last_success_at,
            last_error=health.last_error,
        )


class EventsReport(BaseModel):
    """The answer of `GET /admin/events`. Counts are of deliveries: an event may have several."""

    head: int
    """How many events there have been."""
    undelivered_count: int
    dead_count: int
    endpoints: list[ConsumerReport]
    undelivered: list[UndeliveredReport]
    dead: list[DeadReport]
    stripe: list[StripeEventReport] = []
    """Events of Stripe's that are not applied: dead letters first, at most 1,000 in all."""
    stripe_waiting: StripeWaiting | None = None
    """All of them, counted."""


class Redelivery(BaseModel):
    """The answer to a request to deliver an event again."""

    id: str
    endpoints: list[str]
