"""What operators may send: to change a subscription, to read anew, to compare, to set the clock."""

from typing import Annotated, Literal

from pydantic import Field

from actors.protocol.directory import SHARDS_MAX
from domain.api.requests import ParsedBody, Timestamp, UserIdText


class SyncBody(ParsedBody):
    """Whose account to read anew; nobody's: every account in RAM."""

    user_id: UserIdText | None = None


class TestClockBody(ParsedBody):
    """What time it shall be for the whole service: later than it is."""

    __test__ = False  # It tests nothing itself.

    now: Timestamp = Field(examples=["2026-04-09T00:00:00Z"])


class AnonymizeBody(ParsedBody):
    """What is to become of a user: somebody whom nobody knows. It cannot be undone."""

    mode: Literal["anonymize"]


class ReshardBody(ParsedBody):
    """How many shards there shall be."""

    shards: Annotated[int, Field(strict=True, ge=1, le=SHARDS_MAX, examples=[8])]


class ValidateBody(ParsedBody):
    """Whether what differs from MongoDB is to be read anew."""

    repair: Annotated[bool, Field(strict=True, examples=[False])] = True
