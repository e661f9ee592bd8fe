"""Sums over many grants, each worked out once: a subscription may have a thousand, and every charge asks.

They are found by the tuple itself, not by what is in it: to compare a thousand grants takes as long as
to sum them. What changes a subscription's grants makes another tuple; `with_grants` adds to what is known.
"""

from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache

from domain.grants import Grant
from domain.values import Credits

MANY = 16  # Fewer are summed as fast as a sum is found again.
KEPT_MAX = 64  # Subscriptions with many whose sums are kept: their grants stay in RAM, 0.4 MB each,
SUMS_MAX = 4_000  # and as many sums of each;
CARRIED_MAX = 100  # so many, the newest, go on where grants are added.
NO_DAY = date.min  # Of sums that are about no day.

Part = Callable[[Grant, date], int]
"""What of each grant is summed, for a day."""


class _Same:
    """Grants that equal themselves alone. They are held, so no others can take their place."""

    __slots__ = ("grants",)

    def __init__(self, grants: tuple[Grant, ...]) -> None:
        self.grants = grants

    def __hash__(self) -> int:
        return id(self.grants)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.grants is other.grants


@lru_cache(KEPT_MAX)
def _sums_of(_: _Same) -> dict[tuple[Part, date], int]:
    return {}


def sum_of(grants: tuple[Grant, ...], part: Part, day: date = NO_DAY) -> int:
    """Return a sum over these grants; of many it is worked out only where it is not known yet."""
    if len(grants) < MANY:
        return _sum(grants, part, day)
    known = _sums_of(_Same(grants))
    found = known.get((part, day))  # Once: another thread may clear them at any time.
    if found is None:
        found = _sum(grants, part, day)
        if len(known) >= SUMS_MAX:
            known.clear()
        known[part, day] = found
    return found


def with_grants(grants: tuple[Grant, ...], added: Sequence[Grant]) -> tuple[Grant, ...]:
    """Return these grants and those added. What is known of their sums is not worked out again."""
    together = (*grants, *added)
    if added and len(grants) >= MANY:
        sums = list(_sums_of(_Same(grants)).items())  # In one step: other threads add to them.
        carried = sums[-CARRIED_MAX:]
        _sums_of(_Same(together)).update(
            ((part, day), known + _sum(added, part, day)) for (part, day), known in carried
        )
    return together


def _sum(grants: Sequence[Grant], part: Part, day: date) -> int:
    return sum(part(grant, day) for grant in grants)


def _spendable(grant: Grant, _: date) -> int:
    return grant.spendable


def _takes_away(grant: Grant, _: date) -> int:
    return grant.spendable < 0


def _took_away(grant: Grant, _: date) -> int:
    return grant.granted < 0


def spendable_of(grants: tuple[Grant, ...]) -> Credits:
    """Return what all of them give."""
    return Credits(sum_of(grants, _spendable))


def limit_of(grants: tuple[Grant, ...], day: date) -> Credits:
    """Return what they give on one day."""
    if len(grants) == 1:
        return grants[0].slice_on(day)
    return Credits(sum_of(grants, Grant.slice_on, day))


def allocated_before(grants: tuple[Grant, ...], day: date) -> Credits:
    """Return what they give on all days before one."""
    return Credits(sum_of(grants, Grant.allocated_before, day))


def none_takes_away(grants: tuple[Grant, ...]) -> bool:
    """Say whether each of them gives something, or nothing."""
    return sum_of(grants, _takes_away) == 0


def none_took_away(grants: tuple[Grant, ...]) -> bool:
    """Say the same of them as they were before credits were taken back."""
    return sum_of(grants, _took_away) == 0
