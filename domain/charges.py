"""Charges: under which rule they are made, what one leaves in the journal, what a reversal sees."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from operator import not_
from typing import Annotated

from pydantic import Field

from domain.pricing import Price
from domain.sources import PackShare, total_of
from domain.usage_facts import Tokens, UsageFacts
from domain.values import NO_CREDITS, Credits


class OnInsufficient(StrEnum):
    """What a charge does where the remaining credits do not cover it."""

    REJECT = "reject"
    RECORD = "record"
    """In full: what no source covers is debt of the day."""
    CAP = "cap"
    """As much as there is."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A day as the decision saw it. It opens the day if nothing has touched it before."""

    subscription_id: str
    date: date
    starts_at: datetime
    """The day's local midnight."""
    daily_credit_limit: Credits
    """The limit after the change."""
    rolled_over: Credits
    first_touch: bool = True
    """Nothing had touched the day before: its document is still to be made, or to be put right."""


@dataclass(frozen=True, slots=True)
class UsageRecorded(UsageFacts):
    """Credits were charged: to a day first, then to packs."""

    usage_id: str
    opening: Opening | None
    """The day of the current subscription; None: there was none, and packs gave all."""
    service_type: str
    credit_amount: Credits
    timestamp: datetime
    price: Price | None = None
    """What made the amount of the tokens; None: the caller told the amount."""
    packs: tuple[PackShare, ...] = ()
    """What packs gave, in the order in which they were taken; the day gave the rest."""
    uncovered_credits: Credits = NO_CREDITS
    """What the work cost beyond `credit_amount`, and nobody is charged."""
    settles: str | None = None
    """The hold, expired before, that this settles late."""
    tokens: Annotated[Tokens | None, Field(exclude_if=not_)] = None
    """Where they were told by kind. An entry without them has no word of it."""

    @property
    def day_amount(self) -> Credits:
        """What the day gave."""
        if not self.packs:
            return self.credit_amount
        return Credits(self.credit_amount - total_of(self.packs))


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge that is to be reversed: where its credits came from, and what has gone back."""

    usage_id: str
    subscription_id: str | None
    date: date | None
    day_amount: Credits
    packs: tuple[PackShare, ...]
    """In the order in which they were taken, after the day."""
    reversed_credits: Credits
    service_type: str | None = None

    @property
    def credit_amount(self) -> Credits:
        return Credits(self.day_amount + total_of(self.packs))

    @property
    def left(self) -> Credits:
        """What a reversal can still give back."""
        return Credits(self.credit_amount - self.reversed_credits)
