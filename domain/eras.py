"""Which date it is for a subscription whose time zone was changed, and when its dates begin.

A date keeps the zone it began in: its document is named by its midnight there. The date that is open
at a change ends where it would have ended. The next one is the date that the new zone has then, or
has next: it begins with that end or with its own midnight, whichever is later. So no date begins
early, none begins twice, and dates never go back.

Every function takes a subscription's present zone and its eras, oldest first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from domain.local_days import ONE_DAY, day_of, midnight

ERAS_MAX = 100
"""Dates on which one subscription's zone may be changed: a document stays below 2 MiB."""


@dataclass(frozen=True, slots=True)
class Era:
    """A zone that a subscription once had, and the last date that belongs to it."""

    timezone: str
    last_date: date

    @property
    def begins_last(self) -> datetime:
        """The midnight of the last date: what its document is named by."""
        return midnight(self.last_date, self.timezone)

    @property
    def end(self) -> datetime:
        """When the last date ends, as its own zone has it."""
        return midnight(self.last_date + ONE_DAY, self.timezone)


Eras = Sequence[Era]


@lru_cache(maxsize=1024)
def first_after(era: Era, timezone: str) -> date:
    """Return the first date in the zone that follows an era.

    It is later than the day after where the new zone is a day ahead: there that day is over. It is
    later, too, where its midnight would not come after the one of the era's last date (from Adak to
    Kiritimati, on the day that has 23 hours): documents are in the order of their dates.
    """
    day = max(era.last_date + ONE_DAY, day_of(era.end, timezone))
    return day if midnight(day, timezone) > era.begins_last else day + ONE_DAY


def date_at(at: datetime, timezone: str, eras: Eras) -> date:
    """Return which date is open at an instant."""
    for era in reversed(eras):
        if at >= era.end:
            day = day_of(at, timezone)
            return day if day >= first_after(era, timezone) else era.last_date
        timezone = era.timezone
    return day_of(at, timezone)


def following(day: date, timezone: str, eras: Eras) -> date:
    """Return the date that comes after one: seldom another than the next of the calendar."""
    for era in reversed(eras):
        if day == era.last_date:
            return first_after(era, timezone)
        if day > era.last_date:
            break
        timezone = era.timezone
    return day + ONE_DAY


def begins(day: date, timezone: str, eras: Eras) -> datetime:
    """Return when a date begins; one that is left out, when the one after it does."""
    for era in reversed(eras):
        if day > era.last_date:
            return max(era.end, midnight(max(day, first_after(era, timezone)), timezone))
        timezone = era.timezone
    return midnight(day, timezone)


def zone_of(day: date, timezone: str, eras: Eras) -> str:
    """Return the zone that a date belongs to."""
    for era in reversed(eras):
        if day > era.last_date:
            break
        timezone = era.timezone
    return timezone


def date_named(instant: datetime, timezone: str, eras: Eras) -> date:
    """Return the date that a day's document speaks of: the reverse of its midnight."""
    for era in reversed(eras):
        if instant > era.begins_last:
            return max(day_of(instant, timezone), era.last_date)
        timezone = era.timezone
    return day_of(instant, timezone)


def eras_after(
    change_to: str, timezone: str, eras: tuple[Era, ...], today: date
) -> tuple[Era, ...]:
    """Return the eras once the zone is another, `today` being open.

    Of several changes on one date only what it began with stays; where that is the new zone again,
    nothing has changed.
    """
    if change_to == timezone:
        return eras
    is_known = bool(eras) and eras[-1].last_date >= today
    known = eras if is_known else (*eras, Era(timezone, today))
    return known[:-1] if known[-1].timezone == change_to else known


class Dated:
    """What has a zone, and had others before: its dates. Few had: the others pay for no loop."""

    __slots__ = ()

    timezone: str
    """The present zone."""
    start: datetime
    end: datetime

    @property
    def eras(self) -> tuple[Era, ...]:
        """The zones it had before its present one, oldest first."""
        raise NotImplementedError

    @property
    def first_day(self) -> date:
        return self.date_at(self.start)

    @property
    def last_day(self) -> date:
        """The local day of the last instant before the end."""
        return self.date_at(self.end - timedelta(milliseconds=1))

    def date_at(self, at: datetime) -> date:
        """Return which date an instant belongs to, whatever was touched."""
        eras = self.eras
        return date_at(at, self.timezone, eras) if eras else day_of(at, self.timezone)

    def midnight(self, day: date) -> datetime:
        """Return what the document of a date is named by: its midnight, in the zone of the date."""
        eras = self.eras
        return midnight(day, zone_of(day, self.timezone, eras) if eras else self.timezone)

    def begins(self, day: date) -> datetime:
        """Return when a date begins: later than at its midnight where the one before it goes on."""
        eras = self.eras
        return begins(day, self.timezone, eras) if eras else midnight(day, self.timezone)

    def latest_midnight(self, day: date) -> datetime:
        """Return the latest instant that was a date's beginning in any of the zones."""
        return max([self.begins(day), *self._midnights(day)])

    def earliest_midnight(self, day: date) -> datetime:
        """Return the earliest instant that was a date's midnight in any of the zones."""
        return min(self._midnights(day))

    def _midnights(self, day: date) -> list[datetime]:
        zones = (self.timezone, *(era.timezone for era in self.eras))
        return [midnight(day, zone) for zone in zones]

    def following(self, day: date) -> date:
        """Return the date that comes after one."""
        eras = self.eras
        return following(day, self.timezone, eras) if eras else day + ONE_DAY
