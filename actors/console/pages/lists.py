"""The lists: subscriptions, events, sweeps, shards, refusals, the audit."""

import asyncio
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from actors.console import words
from actors.console.charts import line_of
from actors.console.console import Console, see
from actors.console.guard import form_of, session_of
from actors.console.service import RefusedError
from actors.console.sessions import Notice

ROWS = 50
ORDERS = ("least", "most")


async def get_subscriptions(request: Request) -> Response:
    """Show subscriptions of all users, a page at a time."""
    console: Console = request.app.state.console
    status, cursor = _known_status(request), request.query_params.get("cursor")
    page = await console.service.get(
        session_of(request).key, "/subscriptions", status=status, cursor=cursor, limit=ROWS
    )
    after = {"status": status, "cursor": page["next_cursor"]}
    return console.page(
        request,
        "subscriptions.html",
        rows=page["items"],
        status=status,
        statuses=words.STATUSES,
        after=f"/subscriptions?{urlencode(after)}" if page["next_cursor"] else "",
    )


async def get_users_left(request: Request) -> Response:
    """Show the users who have the least left, or the most."""
    console: Console = request.app.state.console
    order = request.query_params.get("order") or ORDERS[0]
    if order not in ORDERS:
        raise RefusedError(404, "not_found", "There is no such order")
    ranked = await console.service.get(
        session_of(request).key, "/admin/users", order=order, limit=ROWS
    )
    return console.page(request, "users_left.html", ranked=ranked, order=order)


async def get_events(request: Request) -> Response:
    """Show how delivery does: endpoints, what waits, what is dead; and Stripe's events."""
    console: Console = request.app.state.console
    report = await console.service.get(session_of(request).key, "/admin/events")
    return console.page(request, "events.html", report=report)


async def redeliver(request: Request) -> Response:
    """Have an event delivered again."""
    console: Console = request.app.state.console
    form, session = await form_of(request), session_of(request)
    path = f"/admin/events/{quote(form.get('id', ''), safe='')}/redeliver"
    told = await console.service.send(session.key, "POST", path)
    names = ", ".join(told["endpoints"]) or "no endpoint"
    session.notices.append(Notice(f"It is delivered again to {names}."))
    return see("/events")


async def get_refusals(request: Request) -> Response:
    """Show refused requests of all users, newest first."""
    console: Console = request.app.state.console
    page = await console.service.get(
        session_of(request).key,
        "/admin/refusals",
        cursor=request.query_params.get("cursor"),
        limit=ROWS,
    )
    after = page["next_cursor"]
    return console.page(
        request,
        "refusals.html",
        rows=page["items"],
        after=f"/refusals?{urlencode({'cursor': after})}" if after else "",
    )


async def get_audit(request: Request) -> Response:
    """Show administrative acts, newest first: of all callers, or of one."""
    console: Console = request.app.state.console
    by = request.query_params.get("by", "").strip()
    page = await console.service.get(
        session_of(request).key,
        "/admin/audit",
        by=by,
        cursor=request.query_params.get("cursor"),
        limit=ROWS,
    )
    after = {"by": by, "cursor": page["next_cursor"]}
    return console.page(
        request,
        "audit.html",
        rows=page["items"],
        by=by,
        after=f"/audit?{urlencode(after)}" if page["next_cursor"] else "",
    )


async def get_sweeps(request: Request) -> Response:
    """Show the janitor's runs, and drift over time."""
    console: Console = request.app.state.console
    rows = await console.service.get(session_of(request).key, "/admin/sweeps", limit=ROWS)
    drift = [row["drift"] for row in reversed(rows) if row["job"] == "sweep"]
    highest = max(drift, default=0.0)
    course = line_of([one / highest for one in drift] if highest else drift)
    return console.page(request, "sweeps.html", rows=rows, course=course, highest=highest)


async def get_shards(request: Request) -> Response:
    """Show the shards, and how far the newest change of their number is: that renews itself."""
    console: Console = request.app.state.console
    key, service = session_of(request).key, console.service
    rows, reshard = await asyncio.gather(
        service.get(key, "/admin/shards"), service.get_or_none(key, "/admin/reshard")
    )
    return console.page(request, "shards.html", rows=rows, reshard=reshard)


async def get_live_reshard(request: Request) -> Response:
    """Return how far the newest change of the number of shards is."""
    console: Console = request.app.state.console
    reshard = await console.service.get_or_none(session_of(request).key, "/admin/reshard")
    return console.fragment("reshard_live.html", reshard=reshard)


def _known_status(request: Request) -> str:
    status = request.query_params.get("status", "")
    if status and status not in words.STATUSES:
        raise RefusedError(404, "not_found", f"There is no status {words.label(status)}")
    return status
