"""The lists: subscriptions, events, sweeps, shards; each as a page and as CSV."""

import asyncio
import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from actors.console import words
from actors.console.charts import line_of
from actors.console.console import Console, see
from actors.console.guard import form_of, session_of
from actors.console.service import RefusedError

ROWS = 50
CSV_ROWS_MAX = 10_000
PAGE_MAX = 1000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How texts begin that spreadsheets would carry out."""
COLUMNS = {
    "subscriptions": (
        *("user_id", "subscription_id", "status", "timezone", "start_date", "end_date"),
        *("total_credits", "system_portion", "spendable_credits"),
    ),
    "undelivered": ("id", "type", "user_id", "created", "endpoint", "attempts", "last_error"),
    "dead": ("id", "type", "user_id", "created", "endpoint", "attempts", "last_error", "died_at"),
    "endpoints": (
        *("endpoint", "healthy", "undelivered", "delivered", "failures", "dead"),
        *("last_success_at", "last_error"),
    ),
    "stripe": ("id", "type", "subject", "state", "parked", "attempts", "last_error", "received_at"),
    "sweeps": (
        *("started_at", "job", "elapsed_ms", "checked", "missing_in_ram", "missing_in_db", "stale"),
        *("expired", "quarantined", "invariants_broken", "repaired", "drift"),
    ),
    "shards": (
        *(
            "shard",
            "node_id",
            "pid",
            "code",
            "users",
            "queued",
            "hits",
            "misses",
            "reads",
            "writes",
        ),
        *("refusals", "journal_seconds_behind", "uptime_seconds", "stale"),
    ),
}


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
    session.notices.append(
        f"It is delivered again to {', '.join(told['endpoints']) or 'no endpoint'}."
    )
    return see("/events")


async def get_sweeps(request: Request) -> Response:
    """Show the janitor's runs, and drift over time."""
    console: Console = request.app.state.console
    rows = await console.service.get(session_of(request).key, "/admin/sweeps", limit=ROWS)
    drift = [row["drift"] for row in reversed(rows) if row["job"] == "sweep"]
    highest = max(drift, default=0.0)
    course = line_of([one / highest for one in drift] if highest else drift)
    return console.page(request, "sweeps.html", rows=rows, course=course, highest=highest)


async def get_shards(request: Request) -> Response:
    """Show the shards, and how far the newest change of their number is."""
    console: Console = request.app.state.console
    key, service = session_of(request).key, console.service
    rows, reshard = await asyncio.gather(
        service.get(key, "/admin/shards"), service.get_or_none(key, "/admin/reshard")
    )
    return console.page(request, "shards.html", rows=rows, reshard=reshard)


async def get_csv(request: Request) -> Response:
    """Return a list as CSV."""
    console: Console = request.app.state.console
    name: str = request.path_params["name"]
    if name not in COLUMNS:
        raise HTTPException(404)
    rows = await _rows(console, session_of(request).key, name, _known_status(request))
    disposition = f'attachment; filename="{name}.csv"'
    return Response(
        csv_of(COLUMNS[name], rows),
        media_type="text/csv",
        headers={"Content-Disposition": disposition},
    )


async def _rows(console: Console, key: str, name: str, status: str) -> list[Mapping[str, Any]]:
    service = console.service
    if name == "subscriptions":
        rows: list[Mapping[str, Any]] = []
        cursor = None
        while len(rows) < CSV_ROWS_MAX:
            page = await service.get(
                key, "/subscriptions", status=status, cursor=cursor, limit=PAGE_MAX
            )
            rows += page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                break
        return rows
    if name in ("sweeps", "shards"):
        found: list[Mapping[str, Any]] = await service.get(key, f"/admin/{name}")
        return found
    report = await service.get(key, "/admin/events")
    listed: list[Mapping[str, Any]] = report.get(name, [])
    return listed


def csv_of(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV. A text that a spreadsheet would carry out gets a quote before it."""
    names, text = list(columns), io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _known_status(request: Request) -> str:
    status = request.query_params.get("status", "")
    if status and status not in words.STATUSES:
        raise RefusedError(404, "not_found", f"There is no status {words.label(status)}")
    return status
