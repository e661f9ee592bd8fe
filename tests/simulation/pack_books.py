"""Plain accounting of packs and of charges, written from the contract's text alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

NEVER = datetime.max.replace(tzinfo=UTC)
RANKS = ("promotional", "adjustment", "paid")


@dataclass
class Pack:
    """`holds`: by id, what each has set aside here and when it is over."""

    id: str
    spendable: int
    priority: int
    category: str
    created_at: datetime
    expires_at: datetime | None
    amount: int = 0
    used: int = 0
    holds: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    taken_back: int = 0
    expired_at: datetime | None = None

    @property
    def order(self) -> tuple[int, datetime, int, datetime, str]:
        rank = RANKS.index(self.category)
        return self.priority, self.expires_at or NEVER, rank, self.created_at, self.id

    def is_live(self, at: datetime) -> bool:
        """Once its coming is written down an expiry stays, whatever the clock does."""
        if self.expires_at is None:
            return True
        return at < self.expires_at != self.expired_at

    def held(self, at: datetime) -> int:
        return sum(amount for amount, over_at in self.holds.values() if at < over_at)

    def left(self, at: datetime) -> int:
        return max(self.spendable - self.used - self.held(at), 0)

    def counts(self, at: datetime) -> bool:
        """Say whether it is part of what the user was given: one that is used up is not."""
        is_held = any(at < over_at for _, over_at in self.holds.values())
        return self.is_live(at) and (self.left(at) != 0 or is_held)


@dataclass
class Charged:
    """A charge: what its day and packs gave, in order, and what went back of it."""

    id: str
    subscription_id: str | None
    day: date | None
    of_day: int
    packs: dict[str, int]
    uncovered: int = 0
    late: bool = False
    reversed: int = 0

    @property
    def amount(self) -> int:
        return self.of_day + sum(self.packs.values())

    def last_taken(self, amount: int) -> tuple[int, dict[str, int]]:
        """Return the day's and the packs' part of what goes back next, last-taken first."""
        back: dict[str | None, int] = {}
        passed = self.reversed
        for name, part in reversed([(None, self.of_day), *self.packs.items()]):
            gone = min(passed, part)
            passed -= gone
            back[name] = min(amount, part - gone)
            amount -= back[name]
        packs = {name: part for name, part in back.items() if name is not None and part}
        return back[None], {name: packs[name] for name in self.packs if name in packs}


def in_order(packs: Iterable[Pack]) -> list[Pack]:
    """Return packs in the order in which they are spent."""
    return sorted(packs, key=lambda pack: pack.order)


def given_by(packs: Iterable[Pack], at: datetime) -> int:
    return sum(pack.spendable for pack in packs if pack.counts(at))


def left_in(packs: Iterable[Pack], at: datetime) -> int:
    return sum(pack.left(at) for pack in packs if pack.is_live(at))


def shares_of(packs: Iterable[object]) -> dict[str, int]:
    """Return the shares of packs that an entry names, in its order."""
    return {share.pack_id: share.credit_amount for share in packs}  # type: ignore[attr-defined]


def added(*parts: Mapping[str, int]) -> dict[str, int]:
    """Return shares of the same packs together, others after them."""
    sums: dict[str, int] = {}
    for part in parts:
        for name, amount in part.items():
            sums[name] = sums.get(name, 0) + amount
    return sums
