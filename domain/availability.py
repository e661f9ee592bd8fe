"""When credits that are missing now will be there, if nothing else is spent in the meantime."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime
from itertools import pairwise

from domain.copies import replace
from domain.local_days import ONE_DAY
from domain.packs import Pack
from domain.schedule import first_covered
from domain.subscription import Day, Subscription
from domain.values import Credits

AVAILABLE_WITHIN_DAYS = 3660  # As long as a grant may last; more would keep the others waiting.


def available_at(
    subscription: Subscription,
    required: Credits,
    today: Day,
    cap: Credits | None,
    packs: Sequence[Pack] = (),
) -> datetime | None:
    """Return the first midnight from which day and packs cover an amount; None if never.

    Today does not cover it. `packs` are the live ones. Source: contract, problems of 402. Only
    another program's document gives anything later than AVAILABLE_WITHIN_DAYS: that counts as never.
    """
    following = subscription.following(today.date)
    if following != today.date + ONE_DAY:  # A change of the zone leaves a date out.
        opened = replace(subscription, day=today, earlier=())
        today = opened.day_at(following - ONE_DAY, cap)
    tomorrow = following.toordinal()
    last = min(subscription.last_day.toordinal(), tomorrow + AVAILABLE_WITHIN_DAYS)

    def first_day_after(moment: datetime) -> int:
        return max(_first_day_after(moment, subscription, last), tomorrow)

    left = subscription.remaining(today)
    need = required - sum(pack.left for pack in packs)
    gained = _gained_by_day(packs, first_day_after)
    # Between two days on which holds are over or packs expire, only the grants decide.
    changing = sorted({*gained, *(first_day_after(h.expires_at) for h in subscription.holds)})
    until = min([last, *(day - 1 for day in changing)])
    found = first_covered(subscription.grants, left, Credits(need), cap, tomorrow, until)
    for day, after in pairwise((*changing, last + 1)):
        if found is not None or day > last:
            break
        then = subscription.as_of(subscription.begins(date.fromordinal(day)), cap)
        left = then.remaining(then.day_at(date.fromordinal(day), cap))
        need -= gained.get(day, 0)
        found = day
        if left < need:
            until = min(after - 1, last)
            found = first_covered(subscription.grants, left, Credits(need), cap, day + 1, until)
    return None if found is None else subscription.begins(date.fromordinal(found))


def _gained_by_day(
    packs: Sequence[Pack], first_day_after: Callable[[datetime], int]
) -> Counter[int]:
    """Return by how much more packs have left from a day (ordinal) on, or less."""
    gained: Counter[int] = Counter()
    for pack in packs:
        lapses = None if pack.expires_at is None else first_day_after(pack.expires_at)
        left = int(pack.left)
        for hold in pack.holds:
            day = first_day_after(hold.expires_at)
            if lapses is None or day < lapses:
                gained[day] += hold.credit_amount
                left += hold.credit_amount
        if lapses is not None:
            gained[lapses] -= left
    return gained


def _first_day_after(moment: datetime, subscription: Subscription, last: int) -> int:
    """Return the first day, an ordinal, that begins at a moment or later; after `last`: any."""
    day = subscription.date_at(moment)
    if day.toordinal() > last:  # No instant may be the beginning of such a day.
        return day.toordinal()
    return day.toordinal() + (subscription.begins(day) < moment)
