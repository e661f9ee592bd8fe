"""Fields that many answers have, each with its example; and how a model has one of its own."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

USER_ID = "ada"
HOLD_ID = "69aff0a14c2d1e0f9a8b7c6d.YWRh.5d41402a"

ShownUserId = Annotated[str, Field(examples=[USER_ID])]
SubscriptionId = Annotated[str, Field(examples=["69aff0a08b3f0c1d5e6f7a8b"])]
GrantId = Annotated[str, Field(examples=["69aff0a0d4c3b2a190817263"])]
PackId = Annotated[str, Field(examples=["69aff0a0b1c2d3e4f5a6b7c8"])]
UsageId = Annotated[str, Field(examples=["69aff0a14c2d1e0f9a8b7c6d"])]
HoldId = Annotated[str, Field(examples=[HOLD_ID])]
Moment = Annotated[datetime, Field(examples=["2026-03-10T12:00:00Z"])]
Midnight = Annotated[datetime, Field(examples=["2026-03-10T00:00:00Z"])]


def shown(**example: Any) -> ConfigDict:
    """Return what gives a model an example of its own, beside the one that its fields make."""
    return ConfigDict(json_schema_extra={"examples": [example]})
