"""When jobs are due, on the nights when clocks change too: nothing is skipped, nothing doubled."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from random import Random

import pytest

from actors.janitor.cron import check_line, due_after, due_at_or_before
from domain.local_days import zone

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
ONE_DAY, ONE_HOUR = timedelta(days=1), timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def runs(line: str, begin: str, end: str, timezone: str) -> list[str]:
    """Return the local times at which a line is due, from `begin` to `end` (UTC)."""
    return [
        due.astimezone(zone(timezone)).strftime("%d. %H:%M %z")
        for due in instants(line, utc(begin), utc(end), timezone)
    ]


def instants(line: str, begin: datetime, end: datetime, timezone: str) -> Iterator[datetime]:
    due = due_after(line, begin, timezone)
    while due <= end:
        yield due
        due = due_after(line, due, timezone)


SPRING = [  # (line, zone, begin, end, local times of the runs)
    (
        "30 2 * * *",
        BERLIN,
        "2026-03-28",
        "2026-03-30T12:00",
        ["28. 02:30 +0100", "29. 03:30 +0200", "30. 02:30 +0200"],
    ),
    ("0 3 * * *", BERLIN, "2026-03-28T12:00", "2026-03-29T12:00", ["29. 03:00 +0200"]),
    (
        "*/20 2 * * *",
        BERLIN,
        "2026-03-28T12:00",
        "2026-03-29T12:00",
        ["29. 03:00 +0200", "29. 03:20 +0200", "29. 03:40 +0200"],
    ),
    (
        "0 * * * *",
        BERLIN,
        "2026-03-28T23:30",
        "2026-03-29T02:30",
        ["29. 01:00 +0100", "29. 03:00 +0200", "29. 04:00 +0200"],
    ),
    (
        "30 2 * * *",
        NEW_YORK,
        "2026-03-07T12:00",
        "2026-03-09T12:00",
        ["08. 03:30 -0400", "09. 02:30 -0400"],
    ),
    (
        "0 0 * * *",
        NEW_YORK,
        "2026-03-07T12:00",
        "2026-03-09T12:00",
        ["08. 00:00 -0500", "09. 00:00 -0400"],
    ),
    (
        "0 * * * *",
        LORD_HOWE,
        "2026-10-03T14:00",
        "2026-10-03T17:00",
        ["04. 01:00 +1030", "04. 02:30 +1100", "04. 03:00 +1100", "04. 04:00 +1100"],
    ),
]
AUTUMN = [
    ("30 2 * * *", BERLIN, "2026-10-24T12:00", "2026-10-26T12:00", ["25. 02:30 +0200", "26. 02:30 +0100"]),
    ("0 3 * * *", BERLIN, "2026-10-24T12:00", "2026-10-25T12:00", ["25. 03:00 +0100"]),
    ("0 * * * *", BERLIN, "2026-10-24T23:30", "2026-10-25T02:30", ["25. 02:00 +0200", "25. 02:00 +0100", "25. 03:00 +0100"]),
    ("0 */2 * * *", BERLIN, "2026-10-24T21:00", "2026-10-25T04:00", ["25. 00:00 +0200", "25. 02:00 +0200", "25. 04:00 +0100"]),
    ("30 1 * * *", NEW_YORK, "2026-10-31T12:00", "2026-11-02T12:00", ["01. 01:30 -0400", "02. 01:30 -0500"]),
    ("30 0,1 * * 0", NEW_YORK, "2026-10-31T12:00", "2026-11-02T12:00", ["01. 00:30 -0400", "01. 01:30 -0400"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "timezone", "begin", "end", "expected"), SPRING + AUTUMN)
def test_the_nights_when_clocks_change(
    line: str, timezone: str, begin: str, end: str, expected: list[str]
) -> None:
    assert runs(line, begin, end, timezone) == expected


HOURLY = ["*", "*/1", "0-23", "0-11,12-23", "12-23,0-11", "23-22", "0/1", "*,3", "0-23/1"]
HOURLY += [",".join(map(str, range(24)))]


@cache
def every_hour(minute: str, begin: datetime, end: datetime, timezone: str) -> list[datetime]:
    """Return when a line is due that names no hours: all others are compared with it."""
    return list(instants(f"{minute} * * * *", begin, end, timezone))


@pytest.mark.parametrize("timezone", [BERLIN, NEW_YORK, LORD_HOWE, "Africa/Casablanca"])
@pytest.mark.parametrize("hours", HOURLY)
@pytest.mark.parametrize("minute", ["0", "30", "*/20"])
def test_every_hour_is_every_hour_however_it_is_said(
    minute: str, hours: str, timezone: str
) -> None:
    for begin in ("2026-03-28T20:00", "2026-10-24T20:00", "2026-10-31T22:00", "2026-04-04T10:00"):
        span = utc(begin), utc(begin) + 12 * ONE_HOUR, timezone

        found = list(instants(f"{minute} {hours} * * *", *span))

        assert found == every_hour(minute, *span)


@pytest.mark.parametrize("timezone", [BERLIN, NEW_YORK, LORD_HOWE, "UTC", "Africa/Casablanca"])
@pytest.mark.parametrize("line", ["*/5 * * * *", "*/15 * * * *"])
def test_a_line_of_minutes_never_pauses_and_never_hurries(line: str, timezone: str) -> None:
    for begin in ("2026-03-07T22:00", "2026-03-28T20:00", "2026-10-24T20:00", "2026-10-31T22:00"):
        found = list(instants(line, utc(begin), utc(begin) + 12 * ONE_HOUR, timezone))

        gaps = {later - earlier for earlier, later in pairwise(found)}
        assert len(gaps) == 1
        assert gaps <= {timedelta(minutes=m) for m in (5, 15)}


@pytest.mark.parametrize("timezone", [BERLIN, NEW_YORK, "Pacific/Auckland", "America/Santiago"])
@pytest.mark.parametrize("line", ["30 2 * * *", "0 0 * * *", "59 23 * * *", "15 1 * * *"])
def test_a_daily_line_is_due_on_every_day_of_the_year_once(line: str, timezone: str) -> None:
    begin = utc("2026-01-01T12:00")

    found = list(instants(line, begin, begin + 365 * ONE_DAY, timezone))

    days = [due.astimezone(zone(timezone)).date() for due in found]
    assert len(days) == 365
    assert all(later - earlier == ONE_DAY for earlier, later in pairwise(days))


@pytest.mark.parametrize("seed", range(40))
def test_looking_back_finds_what_looking_ahead_finds(seed: int) -> None:
    random = Random(seed)
    timezone = random.choice([BERLIN, NEW_YORK, LORD_HOWE, "UTC"])
    line = random.choice(["*/5 * * * *", "30 2 * * *", "0 */3 * * 1-5", "7 1,2,3 * * *"])
    changes = ["2026-03-08T07:00", "2026-03-29T01:00", "2026-10-25T01:00", "2026-11-01T06:00"]
    now = utc(random.choice(changes)) + timedelta(minutes=random.randint(-300, 300))

    last, following = due_at_or_before(line, now, timezone), due_after(line, now, timezone)

    assert last <= now < following
    assert due_after(line, last, timezone) == following
    assert due_at_or_before(line, following, timezone) == following
    assert due_at_or_before(line, following - timedelta(seconds=1), timezone) == last


@pytest.mark.parametrize("line", ["*/5 * * * *", "0 3 29 2 *", "15  4 * * mon", "1 2 3 4 5"])
def test_a_line_that_can_be_followed_is_taken(line: str) -> None:
    assert check_line(line).split() == line.split()


@pytest.mark.parametrize(
    "line",
    ["", "*", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "x * * * *", "0 0 30 2 *",
     "*/0 * * * *", "@daily", "0 0 * * 8", "R * * * *", "0 r(1-5) * * *", "0 0 R/2 * *",
     "0 0 1 R(1-3) *", "0 0 * * r", "H * * * *", "0 h(0-3)/2 * * *"],
)  # fmt: skip
def test_a_line_that_cannot_be_followed_is_refused_with_a_reason(line: str) -> None:
    with pytest.raises(ValueError, match=r"^is not "):
        check_line(line)
