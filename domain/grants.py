"""Grants: how one payment's credits are split with the system and spread over days."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from domain.copies import replace
from domain.values import Credits

GRANTS_MAX = 1_000
"""Grants that callers may add to one subscription. What Stripe was paid for is always added."""

TRANSACTION_IDS_MAX = 40_000
"""Characters of the transaction ids of all grants of a subscription, up to which callers may add more: a
thousand ids may have 40 each. A database rewrites the document whole with every grant."""

LAST_DAY = date.max.toordinal()


def split(amount: Credits, system_portion_bps: int) -> Credits:
    """Return the system's portion of an amount, rounded down; the rest is spendable."""
    return Credits(amount * system_portion_bps // 10_000)


def are_too_many(grants: Sequence["Grant"]) -> bool:
    """Say whether a caller may add no other one to a subscription that has these."""
    characters = sum(len(grant.transaction_id or "") for grant in grants)
    return len(grants) >= GRANTS_MAX or characters >= TRANSACTION_IDS_MAX


@dataclass(frozen=True, slots=True)
class Void:
    """From `from_day` on, only `kept` of `parts` of what a grant was to give is given.

    Whole numbers: what is kept up to a day is floored once, so slices add up exactly however
    odd the share is. A grant that is ended keeps 0 of 1, and nothing else does: it is over for good,
    where what a refund has taken may come back. What keeps all, 1 of 1, is the end of the void before.
    """

    from_day: date
    kept: int
    parts: int

    @property
    def is_end(self) -> bool:
        return (self.kept, self.parts) == (0, 1)

    @property
    def keeps_all(self) -> bool:
        return self.kept >= self.parts

    def keeps_as_much_as(self, other: "Void") -> bool:
        return self.kept * other.parts == other.kept * self.parts


def ended_on(from_day: date) -> Void:
    """Return the void of a grant that gives nothing from a day on, for good."""
    return Void(from_day, 0, 1)


def share_from(from_day: date, kept: int, parts: int) -> Void:
    """Return the void that keeps a share from a day on: less than there was, or more again."""
    if kept >= parts:
        return Void(from_day, 1, 1)
    return Void(from_day, kept, parts if kept else max(parts, 2))


@dataclass(frozen=True, slots=True)
class Grant:
    """Credits added by one payment, spread over `days` days from `from_day`.

    An implied grant (`grant_id` None) is read from a document that another program wrote; it
    is negative where that program took credits away.
    """

    grant_id: str | None
    amount: Credits
    """What was paid for, voided credits included."""
    system_portion: Credits
    from_day: date
    days: int
    transaction_id: str | None = None
    voids: tuple[Void, ...] = ()
    """In order of their days; each keeps another share than the one before it."""
    stripe_subscription_id: str | None = None
    """The Stripe subscription that paid, and with which the grant ends."""
    share_version: int = 0
    """Counts what was told of the share that is kept: what is older changes nothing."""

    @property
    def granted(self) -> Credits:
        """The spendable credits that were paid for."""
        return Credits(self.amount - self.system_portion)

    @property
    def spendable(self) -> Credits:
        """The spendable credits that the grant gives: all of its slices."""
        return self._allocated(self.days) if self.voids else self.granted

    @property
    def voided(self) -> Credits:
        """The spendable credits that were taken back."""
        return Credits(self.granted - self.spendable)

    @property
    def ends_on(self) -> date:
        """The first day without a slice, voids aside; the calendar's last where it has none."""
        return date.fromordinal(min(self.from_day.toordinal() + self.days, LAST_DAY))

    @property
    def gives_until(self) -> date:
        """The first day from which a grant that was ended gives nothing."""
        last = self.voids[-1] if self.voids else None
        return self.ends_on if last is None or last.kept else min(self.ends_on, last.from_day)

    def allocated_before(self, day: date) -> Credits:
        """Return the sum of the slices of all days before `day`."""
        return self._allocated(self._index(day))

    def _allocated(self, upto: int) -> Credits:
        """Return the sum of the first `upto` slices."""
        if not self.voids:
            return Credits(upto * self.granted // self.days)
        return Credits(
            sum(
                self._kept(min(end, upto), void) - self._kept(begin, void)
                for begin, end, void in self._spans()
                if begin < upto
            )
        )

    def slice_on(self, day: date) -> Credits:
        """Return what the grant gives on one day; the slices of all days add up to `spendable`."""
        index = (day - self.from_day).days
        if not 0 <= index < self.days:
            return Credits(0)
        if not self.voids:
            granted = self.granted
            return Credits((index + 1) * granted // self.days - index * granted // self.days)
        void = None
        for later in self.voids:
            void = later if later.from_day <= day else void
        return Credits(self._kept(index + 1, void) - self._kept(index, void))

    @property
    def is_ended(self) -> bool:
        """Whether it gives nothing any more, whatever is told of it."""
        return bool(self.voids) and self.voids[-1].is_end

    def ended(self, from_day: date) -> "Grant":
        """Return the grant that gives nothing from a day on. One that is ended stays as it is."""
        return self if self.is_ended else self._from(ended_on(from_day))

    def with_share(self, share: Void, version: int) -> "Grant":
        """Return the grant with another share kept from a day on. What is older changes nothing."""
        if self.is_ended or version < self.share_version:
            return self
        known = self.voids[-1] if self.voids else share_from(share.from_day, 1, 1)
        if not share.keeps_as_much_as(known):
            return replace(self._from(share), share_version=version)
        return self if version == self.share_version else replace(self, share_version=version)

    def _from(self, void: Void) -> "Grant":
        """Return the grant with a void in the place of all from its day on."""
        before = tuple(known for known in self.voids if known.from_day < void.from_day)
        known = before[-1] if before else share_from(void.from_day, 1, 1)
        same = void.keeps_as_much_as(known) and not void.is_end
        return replace(self, voids=before if same else (*before, void))

    def _kept(self, index: int, void: Void | None) -> int:
        """Return the part of the first `index` slices that is kept."""
        whole = index * self.granted // self.days
        return whole if void is None else whole * void.kept // void.parts

    def _spans(self) -> Iterator[tuple[int, int, Void | None]]:
        """Yield (first index, index after the last, void in force), from the first day on."""
        begins = [0, *(self._index(void.from_day) for void in self.voids), self.days]
        for place, void in enumerate((None, *self.voids)):
            yield begins[place], begins[place + 1], void

    def _index(self, day: date) -> int:
        return min(max((day - self.from_day).days, 0), self.days)
