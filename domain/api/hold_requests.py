"""What a client may send about holds: bodies, checked field by field, and what they mean."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from domain.api.details import Details
from domain.api.fields import shown
from domain.api.requests import (
    CreditAmount,
    ParsedBody,
    PricedAmount,
    Text,
    TokensByKind,
    UsageFactsBody,
    UserIdText,
    amount_of,
    facts_in,
)
from domain.charges import OnInsufficient
from domain.holds import (
    HOLD_SECONDS_DEFAULT,
    HOLD_SECONDS_MAX,
    PlaceHold,
    ReleaseHold,
    SettleHold,
    holder_of,
)
from domain.values import Credits, UserId


def _no_more_than_asked(at_least: int | None, info: ValidationInfo) -> int | None:
    asked = info.data.get("credit_amount")
    if at_least is not None and asked is not None and at_least > asked:
        raise ValueError("it is more than credit_amount")
    return at_least


class _SetAside(ParsedBody):
    user_id: UserIdText
    credit_amount: CreditAmount = Field(examples=[40])
    expires_in: Annotated[
        int,
        Field(strict=True, ge=1, le=HOLD_SECONDS_MAX, description="Seconds.", examples=[120]),
    ] = HOLD_SECONDS_DEFAULT
    service_type: Text = Field(default="hold", examples=["chat"])
    token_count: CreditAmount | None = None


class PlaceHoldBody(UsageFactsBody, _SetAside):
    """Credits to set aside, and what the usage record will say."""

    model_config = shown(user_id="ada", service_type="chat", credit_amount=500, at_least=50)

    on_insufficient: Literal[OnInsufficient.REJECT, OnInsufficient.RECORD] = OnInsufficient.REJECT
    at_least: Annotated[
        CreditAmount | None,
        AfterValidator(_no_more_than_asked),
        Field(description="Where less than `credit_amount` is there, so much is enough."),
    ] = None

    def command(self) -> PlaceHold:
        return PlaceHold(
            UserId(self.user_id),
            self.service_type,
            Credits(self.credit_amount),
            self.expires_in,
            self.timestamp,
            self.on_insufficient,
            None if self.at_least is None else Credits(self.at_least),
            **facts_in(self),
        )


class SettleHoldBody(ParsedBody):
    """What it cost: `credit_amount`, or its tokens. What is left out stays as the hold said it."""

    model_config = shown(model_used="small-2", token_count=1200)

    token_count: CreditAmount | None = Field(default=None, examples=[1200])
    tokens: TokensByKind = None
    credit_amount: PricedAmount = Field(default=None, examples=[30])
    model_used: Text | None = None
    details: Details | None = None
    on_insufficient: Annotated[
        OnInsufficient,
        Field(
            description="What of a cost beyond the hold is charged: as much as there is (`cap`),"
            " all of it, the rest as debt (`record`), or nothing at all (`reject`: 402)."
        ),
    ] = OnInsufficient.CAP

    def command(self, hold_id: str) -> SettleHold | None:
        """Return the command; None: no hold has ever had this id."""
        user_id = holder_of(hold_id)
        if user_id is None:
            return None
        return SettleHold(
            user_id,
            hold_id,
            amount_of(self.credit_amount),
            self.on_insufficient,
            **facts_in(self),
        )


class ReleaseHoldBody(ParsedBody):
    """Why a hold is given back."""

    reason: (
        Annotated[Text, Field(description="Kept in the user's history, with who gave it.")] | None
    ) = Field(default=None, examples=["The job hangs."])

    def command(self, hold_id: str) -> ReleaseHold | None:
        """Return the command; None: no hold has ever had this id."""
        user_id = holder_of(hold_id)
        return None if user_id is None else ReleaseHold(user_id, hold_id, self.reason)
