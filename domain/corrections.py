"""Corrections: charges that are reversed, and balances that operators adjust.

Source: contract, section 9.
"""

from dataclasses import dataclass
from datetime import datetime

from domain.charges import Opening
from domain.packs import Pack
from domain.sources import PackShare
from domain.values import Credits, UserId

# --- commands -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReverseUsage:
    """Give back what a charge has taken, or a part of it."""

    user_id: UserId
    usage_id: str
    credit_amount: Credits | None
    """None: all that is left of the charge."""
    reason: str


@dataclass(frozen=True, slots=True)
class AdjustCredits:
    """Give or take credits, or set what is left to a number. One of the two amounts is told."""

    user_id: UserId
    credit_amount: Credits | None
    """Less than 0: to be taken."""
    remaining_credits: Credits | None
    reason: str
    expires_at: datetime | None = None
    """Of what is given; None: never."""
    allow_debt: bool = False
    """What no source covers is taken from the day all the same."""


# --- changes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UsageReversed:
    """Credits of a charge went back to where they came from, last-taken first, or lapsed."""

    reversal_id: str
    usage_id: str
    credit_amount: Credits
    reason: str
    subscription_id: str | None
    """The charge's."""
    opening: Opening | None
    """The charge's day after the reversal; None: nothing of a day goes back."""
    reopened: tuple[Opening, ...]
    """Later days that were touched before: what they inherit now."""
    packs: tuple[PackShare, ...]
    """What packs count as used no longer; the day does the rest."""
    day_amount: Credits
    lapsed_credits: Credits
    """What nobody can spend: of what has ended or expired, or what does not roll over."""
    reversed_credits: Credits
    """Of the charge, by this and earlier reversals."""

    @property
    def returned_credits(self) -> Credits:
        """What can be spent again."""
        return Credits(self.credit_amount - self.lapsed_credits)


@dataclass(frozen=True, slots=True)
class CreditsAdjusted:
    """An operator gave credits, as a pack, or took some: of the day first, then of packs."""

    adjustment_id: str
    credit_amount: Credits
    """Less than 0: taken."""
    reason: str
    added: Pack | None
    """What was given."""
    opening: Opening | None
    """The day that credits were taken from, after it."""
    day_amount: Credits
    packs: tuple[PackShare, ...]
    """What was taken from packs, in order."""
