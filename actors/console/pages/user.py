"""A user: what today gives, packs, thirty days of use, holds, records, and who has decided what."""

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from actors.console.ahead import days_ahead
from actors.console.charts import bar_of, columns_of
from actors.console.console import Console, see
from actors.console.guard import session_of

DAYS = 30
DAYS_AHEAD = 7
ROWS = 25


async def get_user(request: Request) -> Response:
    """Show a user. Pages of records and of the history have cursors of their own."""
    console: Console = request.app.state.console
    user_id = request.query_params.get("id", "").strip()
    if not user_id:
        return see("/subscriptions")
    content = await _content(console, session_of(request).key, user_id, request.query_params)
    return console.page(request, "user.html", user_id=user_id, link=link_of(user_id), **content)


async def _content(
    console: Console, key: str, user_id: str, asked: Mapping[str, str]
) -> dict[str, Any]:
    service, whose = console.service, quote(user_id, safe="")
    status, owned, holds, usage, recent, history = await asyncio.gather(
        service.get(key, "/subscription/status", user_id=user_id),
        service.get(key, f"/subscriptions/{whose}"),
        service.get(key, "/subscription/holds", user_id=user_id),
        service.get(
            key, "/subscription/usage", user_id=user_id, limit=ROWS, cursor=asked.get("usage")
        ),
        service.get(key, "/subscription/usage/recent", user_id=user_id, days=DAYS),
        service.get(
            key, f"/subscriptions/{whose}/history", limit=ROWS, cursor=asked.get("history")
        ),
    )
    zone = status["timezone"]
    return {
        "status": status,
        "today": bar_of(parts_of(status)),
        "subscriptions": owned["subscriptions"],
        "packs": owned["packs"],
        "holds": holds["holds"],
        "usage": usage,
        "history": history,
        "days": columns_of(recent["by_day"], date.fromisoformat(recent["last_day"]), DAYS),
        "recent": recent,
        "ahead": days_ahead(
            owned["subscriptions"], owned["packs"], zone, console.now(), DAYS_AHEAD
        ),
    }


def parts_of(status: Mapping[str, Any]) -> dict[str, int]:
    """Return what has become of today's credits."""
    return {
        "used": status["credits_used"],
        "held": status["credits_held"],
        "left": max(status["day_remaining_credits"], 0),
    }


def link_of(user_id: str) -> str:
    """Return the address of a user's page."""
    return f"/user?{urlencode({'id': user_id})}"
