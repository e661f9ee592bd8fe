"""When a job is due: a cron line read on local clocks, and what they do twice a year.

croniter is asked on a calendar without time zones, where every time of day exists once. What it
names becomes an instant here, so that no change of the clocks skips or doubles a run:

* A time that the clocks skip is due as long after the last one before it as on any other day:
  02:30 on the night that has no hour two is 03:30 of the new time.
* A time that comes twice is due once, the first time. A line for every hour (`*`, `*/1`, `0-23`)
  goes on through both hours.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from domain.local_days import zone

CLOCK_CHANGE_MAX = timedelta(hours=3)  # More than any zone's clocks are changed at once.
MINUTE = timedelta(minutes=1)
FIELDS = 5
HOUR = 1
CALENDAR_START = datetime(2024, 1, 1)  # noqa: DTZ001 - a calendar without time zones
EVERY_HOUR = "*"  # However a line has said it.
NO_TIME = re.compile("[hr]", re.IGNORECASE)
"""How a field begins whose time croniter makes up: by chance (R), or from a digest (H)."""


def check_line(line: str) -> str:
    """Return a cron line that can be followed. Raises ValueError with a reason."""
    fields = line.split()
    if len(fields) != FIELDS:
        raise ValueError("is not five fields: minute hour day month weekday")
    if any(map(NO_TIME.match, fields)):
        raise ValueError("is not a cron line: R and H name no time")
    try:
        _follow(line, CALENDAR_START).get_next()
    except (ValueError, KeyError, OverflowError) as error:  # Its own are ValueErrors.
        raise ValueError(f"is not a cron line: {error}") from error
    return " ".join(fields)


def due_at_or_before(line: str, now: datetime, timezone: str) -> datetime:
    """Return the last instant (UTC) at which a line was due, `now` included."""
    shown = _on_the_clock(now, timezone)
    at_most = shown.replace(second=1, microsecond=0)  # Lines name whole minutes; this one counts.
    near = _instants(line, next(_times(line, at_most, forward=False)), timezone)[0]
    if near <= now and _is_calm(near, timezone) and _is_calm(now, timezone):
        return near
    begin = shown + CLOCK_CHANGE_MAX
    found: list[datetime] = []
    first = None
    for clock in _times(line, begin + MINUTE, forward=False):
        found += [i for i in _instants(line, clock, timezone) if i <= now]
        first = clock if first is None and found else first
        if first is not None and clock < first - 2 * CLOCK_CHANGE_MAX:
            break
    return max(found)


def due_after(line: str, after: datetime, timezone: str) -> datetime:
    """Return the first instant (UTC) after another one at which a line is due."""
    shown = _on_the_clock(after, timezone)
    near = _instants(line, next(_times(line, shown, forward=True)), timezone)[0]
    if near > after and _is_calm(near, timezone) and _is_calm(after, timezone):
        return near
    begin = shown - CLOCK_CHANGE_MAX
    found: list[datetime] = []
    first = None
    for clock in _times(line, begin - MINUTE, forward=True):
        found += [i for i in _instants(line, clock, timezone) if i > after]
        first = clock if first is None and found else first
        if first is not None and clock > first + 2 * CLOCK_CHANGE_MAX:
            break
    return min(found)


def _is_calm(instant: datetime, timezone: str) -> bool:
    """Say whether no change of the clocks is near, so that local times come in their order."""
    around = (instant - 2 * CLOCK_CHANGE_MAX, instant + 2 * CLOCK_CHANGE_MAX)
    before, after = (moment.astimezone(zone(timezone)).utcoffset() for moment in around)
    return before == after


def _on_the_clock(instant: datetime, timezone: str) -> datetime:
    return instant.astimezone(zone(timezone)).replace(tzinfo=None)


def _times(line: str, begin: datetime, *, forward: bool) -> Iterator[datetime]:
    """Yield the times that a line names on a calendar without time zones."""
    times = _follow(line, begin)
    step: Callable[[], datetime] = times.get_next if forward else times.get_prev
    while True:
        yield step()


def _instants(line: str, clock: datetime, timezone: str) -> list[datetime]:
    """Return when a clock in the zone shows this time, as far as the line means it."""
    # Read with the offset before a change of the clocks, a skipped time is an instant, too.
    first = clock.replace(tzinfo=zone(timezone), fold=0).astimezone(UTC)
    second = clock.replace(tzinfo=zone(timezone), fold=1).astimezone(UTC)
    return [first, second] if second > first and _is_hourly(line) else [first]


@lru_cache(maxsize=64)
def _is_hourly(line: str) -> bool:
    """Say whether a line names every hour of its days."""
    hours: list[object] = _follow(line, CALENDAR_START).expanded[HOUR]
    return EVERY_HOUR in hours


def _follow(line: str, begin: datetime) -> Any:
    """Return croniter's iterator of the times of a line, from one on."""
    from croniter import croniter  # noqa: PLC0415 - most processes follow no line

    return croniter(line, begin, ret_type=datetime)
