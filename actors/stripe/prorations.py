"""What the corrections of an invoice come to: its proration lines, all together. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from actors.stripe.objects import Line, Price
from actors.stripe.prices import gives_back, money_share, time_share


@dataclass(frozen=True, slots=True)
class Correction:
    """A line that corrects a period which was paid before."""

    line: Line
    price: Price
    credits_each: int
    """What a unit gives in a whole period."""


def credits_of(corrections: Sequence[Correction]) -> Iterator[int]:
    """Yield the credits of each: the share of a whole period that its money is.

    Where no amount of a unit says that (tiers, parts of a cent), it is the share that another
    line of the same period has, else that of the period itself.
    """
    for one in corrections:
        share = money_share(one.line, one.price)
        if share is None:
            each = _share_beside(one, corrections)
            each = time_share(one.line, one.price) if each is None else each
            share = each * one.line.quantity * (-1 if gives_back(one.line) else 1)
        yield floor(share * one.credits_each)


def _share_beside(one: Correction, corrections: Sequence[Correction]) -> Fraction | None:
    """Return the share of a period that another line of the same period has, of one unit."""
    for other in corrections:
        share = money_share(other.line, other.price)
        units = other.line.quantity
        if share and units > 0 and other.line.period() == one.line.period():
            return min(abs(share) / units, Fraction(1))
    return None
