"""A subscription's zone may change: no date begins early, none twice, and dates never go back."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from itertools import pairwise, product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.eras import (
    Era,
    begins,
    date_at,
    date_named,
    eras_after,
    first_after,
    following,
    zone_of,
)
from domain.local_days import _iana_names, day_of, midnight
from tests.builders.ledger import NOON, ONE_DAY, ONE_MILLISECOND, utc
from tests.reference import dates
from tests.reference.dates import Dates

MONDAY = date(2026, 3, 2)
HOUR = timedelta(hours=1)
YEAR = [date(2026, 1, 1) + day * ONE_DAY for day in range(366)]


@pytest.fixture(autouse=True, scope="module")
def _reference_remembers_midnights() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dates, "local_midnight", lru_cache(maxsize=None)(dates.local_midnight))
        yield


@cache
def unlike_zones() -> list[str]:
    """Return one zone of those whose days of 2026 are the same."""
    known = {tuple(midnight(day, name) for day in YEAR): name for name in sorted(_iana_names())}
    return sorted(known.values())


# --- worked -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "day", "starts"),
    [
        # East: the next date is short. It begins with the end of the open one, not at its midnight.
        ("UTC", "Asia/Tokyo", date(2026, 3, 3), "2026-03-03T00:00"),
        ("America/New_York", "Europe/Berlin", date(2026, 3, 3), "2026-03-03T05:00"),
        # West: the open date goes on until there is a new midnight.
        ("UTC", "America/New_York", date(2026, 3, 3), "2026-03-03T05:00"),
        ("Pacific/Auckland", "UTC", date(2026, 3, 4), "2026-03-04T00:00"),
        ("Pacific/Apia", "Pacific/Pago_Pago", date(2026, 3, 4), "2026-03-04T11:00"),
        # A day ahead: the date between is over when the open one ends.
        ("Pacific/Pago_Pago", "Pacific/Apia", date(2026, 3, 4), "2026-03-03T11:00"),
        ("Pacific/Pago_Pago", "Pacific/Kiritimati", date(2026, 3, 4), "2026-03-03T11:00"),
        # A zone of the same clock changes nothing.
        ("UTC", "Africa/Abidjan", date(2026, 3, 3), "2026-03-03T00:00"),
    ],
)
def test_the_next_date_begins_with_the_end_of_the_open_one_or_at_its_own_midnight(
    before: str, after: str, day: date, starts: str
) -> None:
    today = day_of(NOON, before)
    eras = eras_after(after, before, (), today)

    assert following(today, after, eras) == day
    assert begins(day, after, eras) == utc(starts)
    assert (
        date_at(NOON, after, eras) == date_at(utc(starts) - ONE_MILLISECOND, after, eras) == today
    )
    assert date_at(utc(starts), after, eras) == day


def test_documents_stay_in_the_order_of_dates_where_the_new_midnight_is_that_of_the_open_date() -> (
    None
):
    day = date(2026, 3, 8)  # It has 23 hours in Adak: 10:00 to 09:00 of UTC.
    era, zone = Era("America/Adak", day), "Pacific/Kiritimati"

    assert midnight(day, era.timezone) == midnight(day + ONE_DAY, zone) == utc("2026-03-08T10:00")
    assert first_after(era, zone) == day + 2 * ONE_DAY
    assert begins(day + ONE_DAY, zone, (era,)) == midnight(day + 2 * ONE_DAY, zone)
    assert date_at(era.end, zone, (era,)) == day


def test_several_changes_on_one_date_leave_what_it_began_with() -> None:
    eras: tuple[Era, ...] = ()
    zone = "UTC"
    for other in ("Asia/Tokyo", "America/New_York", "Europe/Berlin"):
        eras, zone = eras_after(other, zone, eras, MONDAY), other

    assert eras == (Era("UTC", MONDAY),)
    assert eras_after("Europe/Berlin", zone, eras, MONDAY) == eras
    assert eras_after("UTC", zone, eras, MONDAY) == ()
    later = eras_after("UTC", zone, eras, MONDAY + ONE_DAY)
    assert later == (Era("UTC", MONDAY), Era("Europe/Berlin", MONDAY + ONE_DAY))


def test_a_day_document_of_another_hour_is_of_a_date_that_its_era_may_have() -> None:
    eras = (Era("UTC", MONDAY),)

    def named(at: str) -> date:
        return date_named(utc(at), "America/New_York", eras)

    assert named("2026-03-01T12:00") == date(2026, 3, 1)
    assert named("2026-03-02T00:00") == MONDAY
    assert named("2026-03-02T02:00") == MONDAY  # In New York it is the day before.
    assert named("2026-03-03T05:00") == date(2026, 3, 3)


# --- all zones ----------------------------------------------------------------------------


def test_the_document_of_the_next_date_is_later_between_any_two_zones_on_any_day() -> None:
    zones = unlike_zones()
    assert len(zones) > 50
    for place, (before, after) in enumerate(product(zones, zones)):
        for day in YEAR[place % 21 : 365 : 21]:
            check_step(Era(before, day), after)


@pytest.mark.parametrize("day", YEAR[:365:7])
@pytest.mark.parametrize("before", ["America/Adak", "Pacific/Pago_Pago", "Asia/Beirut"])
def test_the_document_of_the_next_date_is_later_in_the_zones_at_the_edges(
    before: str, day: date
) -> None:
    for after in unlike_zones():
        check_step(Era(before, day), after)


def check_step(era: Era, zone: str) -> None:
    day = first_after(era, zone)
    starts = begins(day, zone, (era,))
    assert era.last_date < day <= era.last_date + 2 * ONE_DAY
    assert midnight(day, zone) > era.begins_last
    assert starts >= max(era.end, midnight(day, zone))
    assert date_named(midnight(day, zone), zone, (era,)) == day
    assert date_named(era.begins_last, zone, (era,)) == era.last_date
    assert date_at(starts - ONE_MILLISECOND, zone, (era,)) == era.last_date
    assert date_at(starts, zone, (era,)) == day


CHANGES = st.lists(
    st.tuples(st.integers(0, 60 * 24 * 4), st.deferred(lambda: st.sampled_from(unlike_zones()))),
    min_size=1,
    max_size=6,
)


class TwoCalendars:
    """The dates of a zone that changes: as eras tell them, and as a walk finds them."""

    def __init__(self, begins_at: datetime, zone: str) -> None:
        self.walk = Dates(begins_at, zone)
        self.zone = zone
        self.zones = [zone]
        self.eras: tuple[Era, ...] = ()

    def change(self, now: datetime, zone: str) -> None:
        today = self.compare(now)
        self.eras = eras_after(zone, self.zone, self.eras, today)
        self.zone = zone
        self.walk.change(now, zone)
        self.zones.append(zone)
        assert self.compare(now) >= today

    def compare(self, at: datetime) -> date:
        """Ask both about an instant, and return its date."""
        # Where a clock is set back over midnight a date comes twice, as it does without changes.
        assume(all(day_of(at, zone) >= day_of(at - HOUR, zone) for zone in self.zones))
        now = self.zone, self.eras
        begun, today = self.walk.at(at), date_at(at, *now)
        assert (today, zone_of(today, *now)) == (begun.day, begun.zone)
        assert date_named(midnight(today, begun.zone), *now) == today
        after = self.walk.from_day(today + ONE_DAY)
        assert after.begins > at
        assert following(today, *now) == after.day
        assert begins(today + ONE_DAY, *now) == begins(after.day, *now) == after.begins
        local = [day_of(at, zone) for zone in self.zones]
        assert min(local) <= today <= max(local), "nothing is given earlier than in some zone"
        return today


@given(
    st.deferred(lambda: st.sampled_from(unlike_zones())),
    CHANGES,
    st.integers(0, 364),
    st.lists(st.integers(0, 60 * 24 * 5), min_size=1, max_size=5),
)
def test_every_instant_is_of_the_date_that_a_walk_through_the_changes_finds(
    zone: str, changes: list[tuple[int, str]], day: int, later: list[int]
) -> None:
    now = NOON + day * ONE_DAY
    both, seen = TwoCalendars(now, zone), []

    for minutes, other in changes:
        now += timedelta(minutes=minutes)
        both.change(now, other)
        seen.append(both.compare(now))
    seen += [both.compare(now + timedelta(minutes=minutes)) for minutes in sorted(later)]

    assert seen == sorted(seen)
    days = sorted({*seen, *(era.last_date for era in both.eras)})
    documents = [midnight(day, zone_of(day, both.zone, both.eras)) for day in days]
    assert all(one < other for one, other in pairwise(documents))
