"""What is asked of the shards beside commands and statuses, and of lists."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from actors.protocol.calls import Call
from domain.account import Account
from domain.local_days import ONE_DAY
from domain.values import Status, UserId

RECENT_DAYS = 30  # Days of a sum of recent usage, where nothing else is asked for.
RECENT_DAYS_MAX = 92  # Days that one sum of recent usage may be of.
QUERY_SECONDS_MAX = 8.0  # How long a query may wait for the views, and as long for the database.
_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """A page of usage records: `since` inclusive, `until` exclusive, newest first."""

    user_id: UserId
    since: datetime
    until: datetime
    limit: int
    cursor: str | None


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """A page of a user's journal, newest first; `before` excludes its number and later ones."""

    user_id: UserId
    limit: int
    before: int | None


@dataclass(frozen=True, slots=True)
class SubscriptionPageQuery:
    """A page of all users' subscriptions, by the ids of their documents."""

    status: Status | None
    limit: int
    cursor: str | None


@dataclass(frozen=True, slots=True)
class RefusalPageQuery:
    """A page of what was refused to all users, newest first."""

    limit: int
    cursor: str | None


@dataclass(frozen=True, slots=True)
class MonthQuery:
    """The sums of one calendar month in the user's time zone."""

    user_id: UserId
    month: str


@dataclass(frozen=True, slots=True)
class RecentQuery:
    """The sums of the last days in the user's time zone, of which today is the last."""

    user_id: UserId
    days: int
    """1 to `RECENT_DAYS_MAX`."""


@dataclass(frozen=True, slots=True)
class SubscriptionsQuery:
    """All subscriptions of one user."""

    user_id: UserId


@dataclass(frozen=True, slots=True)
class SettleQuery:
    """A user's status, answered once the views contain every acknowledged write."""

    user_id: UserId
    though_broken: bool
    """Where the journal is broken, answered without a status: its history can be read all the same."""


@dataclass(frozen=True, slots=True)
class ChangeQuery:
    """A change of a subscription, answered once it is in RAM and in its document."""

    call: Call

    @property
    def user_id(self) -> UserId:
        return self.call.command.user_id


@dataclass(frozen=True, slots=True)
class HoldsQuery:
    """The open holds of one user."""

    user_id: UserId


@dataclass(frozen=True, slots=True)
class HeldQuery:
    """What the list of a user's open holds is made of: the account, as a `Held` that is pickled."""

    user_id: UserId


class Held(NamedTuple):
    """An account with its open holds, and as of when it is shown."""

    account: Account
    now: datetime


ReadQuery = UsageQuery | MonthQuery | RecentQuery | SubscriptionsQuery | HistoryQuery | HoldsQuery
ShardQuery = SettleQuery | HeldQuery | ChangeQuery
Query = ReadQuery | ChangeQuery


def parse_month(text: str) -> tuple[date, date]:
    """Return the first day of a month (YYYY-MM) and the one after its last. ValueError."""
    match = _MONTH.fullmatch(text)
    if not match or not 1970 <= int(match[1]) < 2200:
        raise ValueError("a month is YYYY-MM, from 1970 to 2199")
    first = date(int(match[1]), int(match[2]), 1)
    return first, first.replace(day=monthrange(first.year, first.month)[1]) + ONE_DAY
