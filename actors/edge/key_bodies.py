"""What operators may send about keys."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from actors.auth.caller import Scope
from actors.auth.limits import (
    SERVICES_MAX,
    USER_IDS_MAX,
    KeyLimits,
    check_name,
    check_prefix,
    check_service,
    limits_of,
)
from domain.api.requests import ParsedBody, UserIdText

LIFETIME_SECONDS_MAX = 3_653 * 86_400  # Ten years.
OVERLAP_SECONDS = 86_400
OVERLAP_SECONDS_MAX = 90 * 86_400

Lifetime = Annotated[
    int,
    Field(
        strict=True,
        ge=1,
        le=LIFETIME_SECONDS_MAX,
        description="Seconds from now on in which it is in force.",
    ),
]


class MakeKeyBody(ParsedBody):
    """What a new key is to be called, and what it may do to whom. What is left out narrows nothing."""

    name: Annotated[str, Field(strict=True, examples=["shop"]), AfterValidator(check_name)]
    scope: Literal["read", "write", "admin"] = Field(examples=["write"])
    expires_in: Lifetime | None = Field(default=None, examples=[7_776_000])
    user_ids: Annotated[list[UserIdText], Field(min_length=1, max_length=USER_IDS_MAX)] | None = (
        None
    )
    user_id_prefix: Annotated[str, Field(strict=True), AfterValidator(check_prefix)] | None = Field(
        default=None, examples=["org7/"]
    )
    services: (
        Annotated[
            list[Annotated[str, Field(strict=True), AfterValidator(check_service)]],
            Field(min_length=1, max_length=SERVICES_MAX),
        ]
        | None
    ) = Field(default=None, examples=[["chat"]])

    @property
    def limits(self) -> KeyLimits | None:
        """The users and services it is for; None: all."""
        return limits_of(self.user_ids, self.user_id_prefix, self.services)

    @property
    def known_scope(self) -> Scope:
        """The scope, as callers have it."""
        return Scope[self.scope.upper()]

    @property
    def lifetime(self) -> timedelta | None:
        """How long it is in force; None: until it is revoked."""
        return lifetime_of(self.expires_in)


class RotateKeyBody(ParsedBody):
    """How long the old key goes on beside the new one, and how long the new one is in force."""

    overlap: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=OVERLAP_SECONDS_MAX,
            description="Seconds in which the old key goes on.",
            examples=[86_400],
        ),
    ] = OVERLAP_SECONDS
    expires_in: (
        Annotated[Lifetime, Field(description="Left out: as long as the old one was to be.")] | None
    ) = None


def lifetime_of(seconds: int | None) -> timedelta | None:
    """Return seconds as a duration."""
    return None if seconds is None else timedelta(seconds=seconds)
