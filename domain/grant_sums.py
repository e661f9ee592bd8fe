"""Sums over many grants, each worked out once: a subscription may have a thousand, and every charge asks.

They are found by the tuple itself, not by what is in it: to compare a thousand grants takes as long as
to sum them. What changes a subscription's grants makes another tuple.
"""

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any, TypeVar

from domain.grants import Grant
from domain.values import Credits

MANY = 16  # Fewer are summed as fast as a sum is found again.
KEPT_MAX = 64  # Subscriptions with many whose sums are kept: their grants stay in RAM, 0.4 MB each,
SUMS_MAX = 4_000  # and as many sums of each.

Sum = TypeVar("Sum")


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
def _sums_of(_: _Same) -> dict[object, Any]:
    return {}


def once(grants: tuple[Grant, ...], what: object, work_out: Callable[[], Sum]) -> Sum:
    """Return what is worked out of these grants; of many only where it is not known yet."""
    if len(grants) < MANY:
        return work_out()
    known = _sums_of(_Same(grants))
    found: Sum | None = known.get(what)  # Once: another thread may clear them at any time.
    if found is None:
        found = work_out()
        if len(known) >= SUMS_MAX:
            known.clear()
        known[what] = found
    return found


def spendable_of(grants: tuple[Grant, ...]) -> Credits:
    """Return what all of them give."""
    return once(grants, "spendable", lambda: Credits(sum(grant.spendable for grant in grants)))


def limit_of(grants: tuple[Grant, ...], day: date) -> Credits:
    """Return what they give on one day."""
    if len(grants) == 1:
        return grants[0].slice_on(day)
    return once(grants, day, lambda: Credits(sum(grant.slice_on(day) for grant in grants)))


def allocated_before(grants: tuple[Grant, ...], day: date) -> Credits:
    """Return what they give on all days before one."""

    def work_out() -> Credits:
        return Credits(sum(grant.allocated_before(day) for grant in grants))

    return once(grants, ("before", day), work_out)


def none_takes_away(grants: tuple[Grant, ...]) -> bool:
    """Say whether each of them gives something, or nothing."""
    return once(grants, "gives", lambda: all(grant.spendable >= 0 for grant in grants))


def none_took_away(grants: tuple[Grant, ...]) -> bool:
    """Say the same of them as they were before credits were taken back."""
    return once(grants, "gave", lambda: all(grant.granted >= 0 for grant in grants))
