"""What the next days give, as far as it is known now: the slices of grants, and packs that lapse."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from actors.console import words
from domain.grants import Grant
from domain.values import SPENDING_STATUSES, Credits, Status

Row = Mapping[str, Any]


class DayAhead(NamedTuple):
    """A day that has not begun."""

    date: str
    gives: int
    """Without what the days before leave."""
    at_most: bool
    """A part of it was taken back, and the interface does not tell of which days."""
    lapses: int
    """What packs lose that day, as they stand now."""


def days_ahead(
    subscriptions: Sequence[Row], packs: Sequence[Row], zone: str, now: datetime, count: int
) -> list[DayAhead]:
    """Return the days after today, in the user's time zone: the first subscription there gives."""
    today = words.today(now, zone).date()
    spending = [one for one in subscriptions if Status(one["status"]) in SPENDING_STATUSES]
    return [
        _day(today + timedelta(days=number), spending, packs, zone)
        for number in range(1, count + 1)
    ]


def _day(day: date, subscriptions: Sequence[Row], packs: Sequence[Row], zone: str) -> DayAhead:
    covering = (one for one in subscriptions if _covers(one, str(day)))
    grants: list[Row] = next(covering, {"grants": []})["grants"]
    given = [(grant_of(one).slice_on(day), one["voided_credits"] > 0) for one in grants]
    lapses = (
        pack["remaining_credits"]
        for pack in packs
        if pack["expires_at"] and words.day(pack["expires_at"], zone) == str(day)
    )
    return DayAhead(
        str(day),
        sum(amount for amount, _ in given),
        any(amount and is_voided for amount, is_voided in given),
        sum(lapses),
    )


def _covers(one: Row, day: str) -> bool:
    zone = one["timezone"]
    return words.day(one["start_date"], zone) <= day < words.day(one["end_date"], zone)


def grant_of(row: Row) -> Grant:
    """Return a grant of the interface as it was before anything of it was taken back."""
    return Grant(
        None,
        Credits(row["amount"] + row["voided_credits"]),
        Credits(row["system_portion"]),
        date.fromisoformat(row["from_day"]),
        row["days"],
    )
