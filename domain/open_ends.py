"""Documents that name no grants, and ends that mean that there is none."""

from datetime import UTC, datetime

from domain.eras import Era, date_at
from domain.grants import Grant
from domain.values import Credits

OPEN_END_YEAR = 9000  # Programs write the year 9999 where they mean that there is no end.
OPEN_END = datetime(9999, 12, 30, tzinfo=UTC)  # A day before the last: zones may add to it.
OPEN_GRANT_DAYS = 30


def is_open_end(end: datetime) -> bool:
    """Say whether an end means that there is none."""
    return end.year >= OPEN_END_YEAR


def implied_grant(
    spendable: Credits,
    start: datetime,
    end: datetime,
    timezone: str,
    eras: tuple[Era, ...] = (),
) -> Grant:
    """Return what a document gives beyond the grants it names: from its start to its end day.

    Where the end is open, over the first OPEN_GRANT_DAYS: what is left of it rolls over for ever.
    """
    first_day = date_at(start, timezone, eras)
    if is_open_end(end):
        return Grant(None, spendable, Credits(0), first_day, OPEN_GRANT_DAYS)
    days = max((date_at(end, timezone, eras) - first_day).days, 1)
    return Grant(None, spendable, Credits(0), first_day, days)
