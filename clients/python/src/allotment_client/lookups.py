"""The calls that read lists of one user: usage, months, subscriptions, holds."""

from datetime import datetime

from allotment_client.call import Call, encoded, path_of, query_of
from allotment_client.decoding import reader
from allotment_client.lists import (
    MonthlyUsage,
    OpenHolds,
    RecentUsage,
    StreamToken,
    UsagePage,
    UserSubscriptions,
)

PAGE, MONTH, RECENT = reader(UsagePage), reader(MonthlyUsage), reader(RecentUsage)
SUBSCRIPTIONS, HOLDS = reader(UserSubscriptions), reader(OpenHolds)


def make_stream_token(user_id: str | None = None) -> Call[StreamToken]:
    """Make a token with which a browser's EventSource follows one user's events, for 15 minutes.

    It begins within a minute (`/events?token=…`), and opens nothing else. `user_id` may be left out
    where this client shows a user's own token.
    """
    body = encoded(user_id=user_id)
    return Call("POST", "/events/token", reader(StreamToken), body=body)


def get_usage(
    user_id: str,
    since: datetime,
    until: datetime,
    *,
    limit: int = 100,
    cursor: str | None = None,
) -> Call[UsagePage]:
    """Return usage records by timestamp, newest first; `until` is exclusive."""
    return usage_page(user_id, since, until, limit, cursor)


def usage_page(
    user_id: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    cursor: str | None,
) -> Call[UsagePage]:
    """Return one page of what `usage` goes through."""
    query = query_of(user_id=user_id, since=since, until=until, limit=limit, cursor=cursor)
    return Call("GET", "/subscription/usage", PAGE, query)


def get_monthly_usage(user_id: str, month: str) -> Call[MonthlyUsage]:
    """Return the sums of a month (YYYY-MM) of the user's time zone."""
    query = query_of(user_id=user_id, month=month)
    return Call("GET", "/subscription/usage/monthly", MONTH, query)


def get_recent_usage(user_id: str, days: int = 30) -> Call[RecentUsage]:
    """Return the sums of the last days of the user's time zone, today among them."""
    query = query_of(user_id=user_id, days=days)
    return Call("GET", "/subscription/usage/recent", RECENT, query)


def get_subscriptions(user_id: str) -> Call[UserSubscriptions]:
    """Return all subscriptions of a user, the current one first."""
    return Call("GET", path_of("subscriptions", user_id), SUBSCRIPTIONS)


def get_holds(user_id: str) -> Call[OpenHolds]:
    """Return a user's open holds, the one that expires first before the others."""
    return Call("GET", "/subscription/holds", HOLDS, query_of(user_id=user_id))
