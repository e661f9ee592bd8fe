"""The dates of a subscription whose zone may change, walked one after the other.

What section 9 of the contract says of `timezone`, and nothing else: a date has the zone in force
when it begins; it ends at its own midnight; the next one begins as soon as the zone in force
then has a later date, whose midnight must come after the one before it.
"""

from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)
ONE_MINUTE = timedelta(minutes=1)


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """Find the first instant of a local day by walking there minute by minute.

    Where the clock skips midnight this is the instant after the skip; where midnight comes twice
    it is the earlier one.
    """
    # No zone is 16 hours ahead of UTC, so the walk starts before the day does, anywhere.
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=16)
    while instant.astimezone(zone).date() < day:
        instant += ONE_MINUTE
    return instant


class Begun(NamedTuple):
    day: date
    begins: datetime
    zone: str


class Dates:
    def __init__(self, start: datetime, zone: str) -> None:
        first = start.astimezone(ZoneInfo(zone)).date()
        self._zones = [(start, zone)]
        self._walked = [Begun(first, local_midnight(first, ZoneInfo(zone)), zone)]

    def change(self, now: datetime, zone: str) -> None:
        """Change the zone. Instants are in the order in which they happen."""
        self.at(now)  # What begins at this instant begins in the zone of before.
        while self._walked[-1].begins > now:  # These have not begun, and may never.
            self._walked.pop()
        self._zones.append((now, zone))

    def zones_until(self, now: datetime) -> set[str]:
        """Return the zones of the dates that have begun."""
        self.at(now)
        return {begun.zone for begun in self._walked if begun.begins <= now}

    def at(self, now: datetime) -> Begun:
        """Return the date that is open at an instant."""
        while self._walked[-1].begins <= now:
            self._walked.append(self._after(self._walked[-1]))
        place = bisect_right(self._walked, now, key=lambda begun: begun.begins)
        return self._walked[max(place - 1, 0)]

    def from_day(self, day: date) -> Begun:
        """Return a date; where it is left out, the one that follows."""
        while self._walked[-1].day < day:
            self._walked.append(self._after(self._walked[-1]))
        return self._walked[bisect_left(self._walked, day, key=lambda begun: begun.day)]

    def _after(self, before: Begun) -> Begun:
        named = local_midnight(before.day, ZoneInfo(before.zone))
        at = local_midnight(before.day + ONE_DAY, ZoneInfo(before.zone))
        while True:
            changes = [(since, zone) for since, zone in self._zones if since <= at]
            zone = ZoneInfo(changes[-1][1])
            day = at.astimezone(zone).date()
            if day > before.day and local_midnight(day, zone) > named:
                return Begun(day, at, changes[-1][1])
            coming = [since for since, _ in self._zones[len(changes) :]]
            at = min([local_midnight(day + ONE_DAY, zone), *coming])
