"""Calendar days in a time zone: which day an instant belongs to, and when a day begins."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ONE_DAY = timedelta(days=1)
NO_PLACE = "Factory"  # What a clock shows that nobody has set.


def check_zone(name: str) -> str:
    """Return the IANA name of a zone. Raises ValueError.

    A machine knows more names: `localtime` is its own clock's, and `right/…` counts leap seconds.
    Where such a name is stored already, `zone` reads it as it ever did.
    """
    if name not in _iana_names():
        raise ValueError(f"unknown time zone: {name!r}")
    return name


@cache
def _iana_names() -> frozenset[str]:
    return frozenset((files("tzdata") / "zones").read_text().split()) - {NO_PLACE}


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
