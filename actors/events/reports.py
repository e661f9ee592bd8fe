"""What operators read about events: `GET /admin/events`."""

from datetime import datetime

from pydantic import Field

from actors.events.delivery import HandlerHealth
from actors.events.records import DeadLetter
from actors.protocol.reports import Report, StripeEventReport, StripeWaiting
from domain.api.fields import Moment, ShownUserId
from domain.events import EventRecord, EventType


class UndeliveredReport(Report):
    """An event that a handler has not taken yet."""

    id: str = Field(examples=["evt_08bfafddfadfc136dbc25477122e9dac"])
    type: EventType = Field(examples=["subscription.low_credits"])
    user_id: ShownUserId
    created: datetime = Field(examples=["2026-03-10T12:00:01Z"])
    endpoint: str = Field(examples=["webhook crm"])
    attempts: int = Field(examples=[1])
    last_error: str | None = Field(examples=["the endpoint answers 503"])

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

    died_at: Moment
    redelivering: bool = Field(examples=[False])
    """Somebody has asked for it to be delivered again."""

    @classmethod
    def of_letter(cls, letter: DeadLetter) -> "DeadReport":
        """Return the report of a dead letter."""
        shared = UndeliveredReport.of(
            letter.consumer, letter.event.record, letter.attempts, letter.error
        )
        return cls(**shared.model_dump(), died_at=letter.at, redelivering=letter.again)


class ConsumerReport(Report):
    """How one handler does: a webhook's endpoint, mail, the log, the profile, the features."""

    endpoint: str = Field(examples=["webhook crm"])
    healthy: bool = Field(examples=[True])
    undelivered: int = Field(examples=[1])
    delivered: int = Field(examples=[6])
    failures: int = Field(examples=[1])
    failures_in_a_row: int = Field(examples=[1])
    dead: int = Field(examples=[0])
    last_success_at: Moment | None
    last_error: str | None = Field(examples=["the endpoint answers 503"])

    @classmethod
    def of(cls, endpoint: str, health: HandlerHealth, undelivered: int) -> "ConsumerReport":
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


class EventsReport(Report):
    """The answer of `GET /admin/events`. Counts are of deliveries: an event may have several."""

    head: int = Field(examples=[7])
    """How many events there have been."""
    undelivered_count: int = Field(examples=[1])
    dead_count: int = Field(examples=[0])
    endpoints: list[ConsumerReport]
    undelivered: list[UndeliveredReport]
    dead: list[DeadReport] = Field(examples=[[]])
    stripe: list[StripeEventReport] = Field(default=[])
    """Events of Stripe's that are not applied: dead letters first, at most 1,000 in all."""
    stripe_waiting: StripeWaiting | None = None
    """All of them, counted."""


class Redelivery(Report):
    """The answer to a request to deliver an event again."""

    id: str = Field(examples=["evt_08bfafddfadfc136dbc25477122e9dac"])
    endpoints: list[str] = Field(examples=[["webhook crm"]])
