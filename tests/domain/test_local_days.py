"""Days begin when the user's clock says so, on 23, 24 and 25 hours alike."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, ZoneInfoNotFoundError, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.local_days import check_zone, day_of, midnight, zone
from tests.builders.ledger import ONE_DAY, ONE_MILLISECOND, utc
from tests.reference.dates import local_midnight

ZONES = [
    "UTC",
    "Pacific/Auckland",
    "Africa/Cairo",
    "America/Santiago",
    "America/Havana",
    "America/St_Johns",
    "America/Nuuk",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
]


def names_of_this_machine() -> set[str]:
    """Return all that ZoneInfo takes here, whoever made the name."""
    folders = [Path(folder) for folder in TZPATH if Path(folder).is_dir()]
    files = {str(p.relative_to(f)) for f in folders for p in f.rglob("*") if p.is_file()}
    return {name for name in files | available_timezones() | {"localtime"} if opens(name)}


def opens(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return False
    return True


def test_of_all_names_that_a_machine_knows_those_of_iana_may_be_given() -> None:
    refused = set()
    for name in names_of_this_machine() | {"right/UTC", "posix/Europe/Berlin", "posixrules"}:
        try:
            assert check_zone(name) == name
        except ValueError:
            refused.add(name)
        else:
            assert midnight(date(2026, 7, 1), name).second == 0, f"{name} counts leap seconds"

    strange = {"localtime", "Factory", "posixrules"}
    assert {name for name in refused if not name.startswith(("right/", "posix/"))} <= strange
    assert {"right/UTC", "posix/Europe/Berlin"} <= refused


@pytest.mark.parametrize("name", [*ZONES, "US/Eastern", "Etc/GMT+5", "EST5EDT", "GMT", "Zulu"])
def test_old_names_of_iana_may_be_given_too(name: str) -> None:
    assert check_zone(name) == name


@pytest.mark.parametrize(
    ("name", "day", "begins"),
    [
        pytest.param("UTC", date(2026, 1, 1), "2026-01-01T00:00", id="UTC"),
        pytest.param("Africa/Cairo", date(2026, 4, 24), "2026-04-23T22:00", id="skipped in Cairo"),
        pytest.param(
            "America/Santiago", date(2026, 9, 6), "2026-09-06T04:00", id="skipped in Santiago"
        ),
        pytest.param("Asia/Beirut", date(2026, 3, 29), "2026-03-28T22:00", id="skipped in Beirut"),
        pytest.param(
            "Asia/Beirut", date(2026, 10, 25), "2026-10-24T22:00", id="after a repeated hour"
        ),
        pytest.param("America/Havana", date(2026, 11, 1), "2026-11-01T04:00", id="comes twice"),
        pytest.param("Pacific/Kiritimati", date(2026, 1, 1), "2025-12-31T10:00", id="14 h ahead"),
    ],
)
def test_a_local_day_begins_at_its_first_instant(name: str, day: date, begins: str) -> None:
    assert midnight(day, name) == utc(begins)
    assert midnight(day, name).tzinfo is UTC
    assert day_of(utc(begins), name) == day
    assert day_of(utc(begins) - ONE_MILLISECOND, name) == day - ONE_DAY


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 4, 5), 25), (date(2026, 9, 27), 23), (date(2026, 9, 28), 24)],
)
def test_days_of_23_and_25_hours_are_days(day: date, hours: int) -> None:
    length = midnight(day + ONE_DAY, "Pacific/Auckland") - midnight(day, "Pacific/Auckland")

    assert length == timedelta(hours=hours)


@pytest.mark.parametrize("name", ZONES)
def test_midnights_of_three_years_are_those_found_by_walking_there(name: str) -> None:
    days = [date(2025, 1, 1) + index * ONE_DAY for index in range(3 * 366)]
    # Walking is slow: one day a month, and the days around each change of the clocks.
    days = [day for day in days if day.day == 1 or changes_clocks(day, name)]

    assert [midnight(day, name) for day in days] == [
        local_midnight(day, ZoneInfo(name)) for day in days
    ]


def changes_clocks(day: date, name: str) -> bool:
    noons = [
        datetime.combine(day + days * ONE_DAY, time(12), ZoneInfo(name)) for days in (-1, 0, 1)
    ]
    return len({noon.utcoffset() for noon in noons}) > 1


@given(
    st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2037, 1, 1)),  # noqa: DTZ001
    st.sampled_from(ZONES),
)
def test_every_instant_lies_between_its_days_midnight_and_the_next(
    moment: datetime,
    name: str,
) -> None:
    instant = moment.replace(tzinfo=UTC)

    day = day_of(instant, name)

    assert midnight(day, name) <= instant < midnight(day + ONE_DAY, name)


@pytest.mark.parametrize(
    "name",
    ["Mars/Olympus", "", "America", "../../etc/passwd", "/etc/localtime", "utc\0", "\ud800", "5"],
)
def test_a_name_that_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        zone(name)
