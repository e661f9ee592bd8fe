"""What grants give on the days to come, without asking each of them for each day.

A subscription may last ten years and have hundreds of grants. What is asked about it amid a decision
must not cost the one times the other: everybody else's decisions wait for it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from itertools import pairwise

from domain.grant_sums import allocated_before, none_took_away
from domain.grants import Grant
from domain.values import Credits

SCHEDULES_KEPT = 32  # Of so many subscriptions the limits day by day are remembered,
DAYS_KEPT_MAX = 4_000  # as long as they are no more than these: 0.2 MB each.


def carry(left: Credits, cap: Credits | None) -> Credits:
    """Return what a day hands to the next: all of a debt, and of a rest at most the cap."""
    return left if cap is None else Credits(min(left, cap))


def first_covered(
    grants: tuple[Grant, ...],
    left: Credits,
    required: Credits,
    cap: Credits | None,
    first: int,
    last: int,
) -> int | None:
    """Return the first day from `first` to `last` that has an amount left; None: no day has.

    `left` is what the day before `first` leaves, less than `required`. Days are ordinals. Nothing
    is spent in the meantime.
    """
    if first > last:
        return None
    if none_took_away(grants) and (cap is None or required <= cap):
        # What is left grows day by day, and the cap does not cut it before it is enough.
        def given(day: int) -> Credits:
            return allocated_before(grants, date.fromordinal(day))

        goal = required - left + given(first)
        days = range(first, last + 1)
        place = bisect_left(days, goal, key=lambda day: given(day + 1))
        return days[place] if place < len(days) else None
    for day, limit in enumerate(limits(grants, first, last), first):
        left = Credits(carry(left, cap) + limit)
        if left >= required:
            return day
    return None


def limits(grants: tuple[Grant, ...], first: int, last: int) -> Sequence[int]:
    """Return what grants give together on each day from `first` to `last`, ordinals."""
    return (_kept if last - first < DAYS_KEPT_MAX else _limits)(grants, first, last)


def _limits(grants: tuple[Grant, ...], first: int, last: int) -> Sequence[int]:
    sums = [0] * (last + 1 - first)
    for grant in grants:
        begin = max(first, grant.from_day.toordinal())
        end = min(last + 1, grant.ends_on.toordinal())
        for place, given in enumerate(_slices(grant, begin, end), begin - first):
            sums[place] += given
    return sums


_kept = lru_cache(maxsize=SCHEDULES_KEPT)(_limits)


def _slices(grant: Grant, begin: int, end: int) -> Sequence[int]:
    """Return what a grant gives on the days of a range that it gives anything on."""
    if grant.voids:
        return [grant.slice_on(date.fromordinal(day)) for day in range(begin, end)]
    origin, whole, days = grant.from_day.toordinal(), grant.granted, grant.days
    upto = [index * whole // days for index in range(begin - origin, end + 1 - origin)]
    return [after - before for before, after in pairwise(upto)]
