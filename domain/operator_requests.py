"""What operators may send: to change a subscription, to read anew, to compare, to set the clock."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from domain.messages import ChangeSubscription
from domain.requests import ParsedBody, Timestamp, UserIdText
from domain.values import Status, UserId

SHARDS_MAX = 256


class ChangeSubscriptionBody(ParsedBody):
    """What an operator gives a subscription: another status, another end, or both."""

    status: Literal["active", "past_due", "paused", "cancelled", "expired"] | None = None
    end_date: Timestamp | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.status is None and self.end_date is None:
            raise ValueError("status or end_date is needed")
        return self

    def command(self, user_id: UserId, subscription_id: str) -> ChangeSubscription:
        status = None if self.status is None else Status(self.status)
        return ChangeSubscription(user_id, subscription_id, status, self.end_date)


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
