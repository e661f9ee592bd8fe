"""Grants: how one payment's credits are split with the system and spread over days."""

from dataclasses import dataclass
from datetime import date, timedelta

from domain.values import Credits


def split(amount: Credits, system_portion_bps: int) -> Credits:
    """Return the system's portion of an amount, rounded down; the rest is spendable."""
    return Credits(amount * system_portion_bps // 10_000)


@dataclass(frozen=True, slots=True)
class Grant:
    """Credits added by one payment, spread over `days` days from `from_day`.

    An implied grant (`grant_id` None) is read from a document that another program wrote; it
    is negative where that program took credits away.
    """

    grant_id: str | None
    amount: Credits
    system_portion: Credits
    from_day: date
    days: int
    transaction_id: str | None = None

    @property
    def spendable(self) -> Credits:
        return Credits(self.amount - self.system_portion)

    @property
    def ends_on(self) -> date:
        """The first day without a slice."""
        return self.from_day + timedelta(days=self.days)

    def allocated_before(self, day: date) -> Credits:
        """Return the sum of the slices of all days before `day`."""
        elapsed = min(max((day - self.from_day).days, 0), self.days)
        return Credits(elapsed * self.spendable // self.days)

    def slice_on(self, day: date) -> Credits:
        """Return what the grant gives on one day; the slices of all days add up to `spendable`."""
        index = (day - self.from_day).days
        if not 0 <= index < self.days:
            return Credits(0)
        spendable = self.spendable
        return Credits(
            (index + 1) * spendable // self.days - index * spendable // self.days,
        )
