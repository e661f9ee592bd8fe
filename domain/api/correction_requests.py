"""What a client may send about corrections: bodies, checked field by field, and what they mean."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from domain.api.fields import shown
from domain.api.requests import CreditAmount, ParsedBody, Text, Timestamp, UserIdText
from domain.corrections import AdjustCredits, ReverseUsage
from domain.values import CREDITS_MAX, Credits, UserId


class ReverseUsageBody(ParsedBody):
    """What of a charge is to go back, and why. Without an amount: all that is left of it."""

    credit_amount: Annotated[int, Field(strict=True, ge=1, le=CREDITS_MAX)] | None = Field(
        default=None, examples=[10]
    )
    reason: Text = Field(examples=["The job has failed."])

    def command(self, user_id: UserId, usage_id: str) -> ReverseUsage:
        amount = None if self.credit_amount is None else Credits(self.credit_amount)
        return ReverseUsage(user_id, usage_id.lower(), amount, self.reason)  # As ids are shown.


class AdjustCreditsBody(ParsedBody):
    """What is to be given or taken, or what is to be left, and why. One of the two amounts."""

    model_config = shown(user_id="ada", remaining_credits=500, reason="A wish.")

    user_id: UserIdText
    credit_amount: (
        Annotated[
            int,
            Field(
                strict=True,
                ge=-CREDITS_MAX,
                le=CREDITS_MAX,
                description="Less than 0: to be taken.",
                examples=[50],
            ),
        ]
        | None
    ) = None
    remaining_credits: CreditAmount | None = None
    reason: Text = Field(examples=["An apology."])
    expires_at: Annotated[
        Timestamp | None, Field(description="When what is given lapses; null: never.")
    ] = None
    allow_debt: Annotated[
        bool, Field(strict=True, description="What nothing covers is taken from the day as debt.")
    ] = False

    @model_validator(mode="after")
    def _says_one_amount(self) -> Self:
        if (self.credit_amount is None) == (self.remaining_credits is None):
            raise ValueError("give one of credit_amount and remaining_credits")
        return self

    def command(self) -> AdjustCredits:
        by, to = self.credit_amount, self.remaining_credits
        return AdjustCredits(
            UserId(self.user_id),
            None if by is None else Credits(by),
            None if to is None else Credits(to),
            self.reason,
            self.expires_at,
            self.allow_debt,
        )
