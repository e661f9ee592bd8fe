"""Calendar days in a time zone: which day an instant belongs to, and when a day begins."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ONE_DAY = timedelta(days=1)


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name. Raises ValueError where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone: {name!r}") from error


def day_of(instant: datetime, timezone: str) -> date:
    """Return the local calendar day of an instant (UTC)."""
    try:
        return instant.astimezone(zone(timezone)).date()
    except OverflowError:  # No calendar has that day: "never ends" is often written 9999-12-31.
        return instant.date()


@lru_cache(maxsize=8192)
def midnight(day: date, timezone: str) -> datetime:
    """Return the first instant of a local day, in UTC.

    Where the clocks skip midnight this is the instant of the change: read with the offset
    before it, the skipped 00:00 is that very instant. Where 00:00 comes twice, the first counts.
    """
    return datetime.combine(day, time.min, zone(timezone)).astimezone(UTC)
