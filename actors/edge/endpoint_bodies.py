"""What operators may send about endpoints of webhooks."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from actors.edge.key_bodies import OVERLAP_SECONDS, OVERLAP_SECONDS_MAX
from actors.events.destinations import URL_LENGTH_MAX
from domain.api.requests import ParsedBody
from domain.events import EventType

Url = Annotated[
    str,
    Field(
        strict=True,
        min_length=1,
        max_length=URL_LENGTH_MAX,
        description="https, to a public address, unless `ALLOTMENT_ENDPOINT_HOSTS` names its host.",
        examples=["https://crm.example/hook"],
    ),
]
Events = Annotated[
    list[EventType],
    Field(
        max_length=len(EventType),
        description="The types it is sent; empty: all.",
        examples=[["subscription.low_credits"]],
    ),
]
Enabled = Annotated[
    bool, Field(strict=True, description="false: it keeps its place, and is sent nothing.")
]


class MakeEndpointBody(ParsedBody):
    """Where events are to go."""

    url: Url
    events: Events = Field(default_factory=list)
    enabled: Enabled = True


class ChangeEndpointBody(ParsedBody):
    """What is to change of an endpoint. What is left out stays."""

    url: Url | None = None
    events: Events | None = None
    enabled: Enabled | None = Field(default=None, examples=[False])

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.url is None and self.events is None and self.enabled is None:
            raise ValueError("give url, events or enabled")
        return self


class RotateEndpointBody(ParsedBody):
    """How long the secret before signs beside the new one."""

    overlap: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=OVERLAP_SECONDS_MAX,
            description="Seconds in which the secret before signs, too.",
            examples=[86_400],
        ),
    ] = OVERLAP_SECONDS
