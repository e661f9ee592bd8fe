"""What operators may send: to change a subscription, to read anew, to compare, to set the clock."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from domain.api.requests import ParsedBody, Text, Timestamp, UserIdText
from domain.local_days import check_zone
from domain.messages import ChangeSubscription
from domain.values import Status, UserId

SHARDS_MAX = 256


class ChangeSubscriptionBody(ParsedBody):
    """What an operator gives a subscription: another status, end or time zone, and why."""

    status: Literal["active", "past_due", "paused", "cancelled", "expired"] | None = None
    end_date: Timestamp | None = None
    timezone: (
        Annotated[
            Text,
            AfterValidator(check_zone),
            Field(
                description="IANA name. The day that is open ends where it would have; the next"
                " begins then, or at its midnight in the new zone, whichever is later."
            ),
        ]
        | None
    ) = None
    reason: (
        Annotated[Text, Field(description="Kept in the user's history, with who gave it.")] | None
    ) = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.status is None and self.end_date is None and self.timezone is None:
            raise ValueError("status, end_date or timezone is needed")
        return self

    def command(self, user_id: UserId, subscription_id: str) -> ChangeSubscription:
        status = None if self.status is None else Status(self.status)
        return ChangeSubscription(
            user_id, subscription_id, status, self.end_date, self.timezone, self.reason
        )


class SyncBody(ParsedBody):
    """Whose account to read anew; nobody's: every account in RAM."""

    user_id: UserIdText | None = None


class TestClockBody(ParsedBody):
    """What time it shall be for the whole service: later than it is."""

    __test__ = False  # It tests nothing itself.

    now: Timestamp


class AnonymizeBody(ParsedBody):
    """What is to become of a user: somebody whom nobody knows. It cannot be undone."""

    mode: Literal["anonymize"]


class ReshardBody(ParsedBody):
    """How many shards there shall be."""

    shards: Annotated[int, Field(strict=True, ge=1, le=SHARDS_MAX)]


class ValidateBody(ParsedBody):
    """Whether what differs from MongoDB is to be read anew."""

    repair: Annotated[bool, Field(strict=True)] = True
