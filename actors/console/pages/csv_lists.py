"""Every list as CSV: all that the interface gives of it, up to a bound."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from actors.console.console import Console
from actors.console.guard import session_of

ROWS_MAX = 10_000  # A page more may be in it.
PAGE_MAX = 1000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How texts begin that spreadsheets would carry out."""
PAGED = "items"
LETTER = ("id", "type", "user_id", "created", "endpoint", "attempts", "last_error")


class Listed(NamedTuple):
    """Where a list is, and what of each row is told."""

    path: str
    """`{id}` in it is the user of the page."""
    part: str
    """The answer's field that has the rows: of `items` there may be more pages; empty: the answer."""
    columns: tuple[str, ...]
    asks: tuple[tuple[str, str], ...] = ()
    """What is asked for, and the name that it has in the page's address."""


USERS = (("user_id", "id"),)
LISTS = {
    "subscriptions": Listed(
        "/subscriptions",
        PAGED,
        (
            *("user_id", "subscription_id", "status", "timezone", "start_date", "end_date"),
            *("total_credits", "system_portion", "spendable_credits"),
        ),
        (("status", "status"),),
    ),
    "left": Listed(
        "/admin/users",
        PAGED,
        (
            *("user_id", "status", "timezone", "remaining_credits", "day_remaining_credits"),
            *("pack_credits", "daily_credit_limit", "credits_rolled_over", "credits_used"),
            *("credits_held", "low_credits", "end_date", "resets_at"),
        ),
        (("order", "order"),),
    ),
    "records": Listed(
        "/subscription/usage",
        PAGED,
        (
            *("usage_id", "timestamp", "service_type", "model_used", "token_count", "tokens"),
            *("credit_amount", "reversed_credits", "sources", "session_id", "details", "price"),
        ),
        USERS,
    ),
    "history": Listed(
        "/subscriptions/{id}/history",
        PAGED,
        ("seq", "at", "kind", "by", "idempotency_key", "change", "unreadable"),
    ),
    "owned": Listed(
        "/subscriptions/{id}",
        "subscriptions",
        (
            *("subscription_id", "status", "timezone", "start_date", "end_date"),
            *("total_credits", "system_portion", "spendable_credits", "grants"),
        ),
    ),
    "packs": Listed(
        "/subscriptions/{id}",
        "packs",
        (
            *("pack_id", "category", "amount", "spendable_credits", "credits_used"),
            *("credits_held", "remaining_credits", "lapsed_credits", "created_at", "expires_at"),
        ),
    ),
    "holds": Listed(
        "/subscription/holds",
        "holds",
        ("hold_id", "service_type", "credit_amount", "made_at", "expires_at"),
        USERS,
    ),
    "refusals": Listed(
        "/admin/refusals",
        PAGED,
        (
            *("at", "user_id", "seq", "reason", "limit", "required_credits"),
            *("remaining_credits", "available_at", "by", "idempotency_key"),
        ),
    ),
    "prices": Listed(
        "/admin/prices",
        "prices",
        (
            *("service", "model", "credits_per_unit", "unit_size", "by_kind"),
            *("effective_from", "effective_until"),
        ),
    ),
    "undelivered": Listed("/admin/events", "undelivered", LETTER),
    "dead": Listed("/admin/events", "dead", (*LETTER, "died_at")),
    "handlers": Listed(
        "/admin/events",
        "endpoints",
        (
            *("endpoint", "healthy", "undelivered", "delivered", "failures", "dead"),
            *("last_success_at", "last_error"),
        ),
    ),
    "endpoints": Listed(
        "/admin/endpoints",
        "",
        (
            *("endpoint_id", "source", "endpoint", "address", "events", "enabled"),
            *("created_at", "changed_at", "old_secret_until"),
        ),
    ),
    "stripe": Listed(
        "/admin/events",
        "stripe",
        ("id", "type", "subject", "state", "parked", "attempts", "last_error", "received_at"),
    ),
    "sweeps": Listed(
        "/admin/sweeps",
        "",
        (
            *("started_at", "job", "elapsed_ms", "checked", "missing_in_ram", "missing_in_db"),
            *("stale", "expired", "quarantined", "invariants_broken", "repaired", "drift"),
        ),
    ),
    "shards": Listed(
        "/admin/shards",
        "",
        (
            *("shard", "node_id", "pid", "code", "users", "queued", "hits", "misses", "reads"),
            *("writes", "refusals", "journal_seconds_behind", "uptime_seconds", "stale"),
        ),
    ),
    "keys": Listed(
        "/admin/keys",
        PAGED,
        (
            *("key_id", "name", "scope", "prefix", "user_ids", "user_id_prefix", "services"),
            *("created_at", "last_used_at", "expires_at", "revoked_at"),
        ),
    ),
    "audit": Listed(
        "/admin/audit",
        PAGED,
        ("act_id", "at", "by", "action", "target", "user_id", "made", "outcome"),
        (("by", "by"),),
    ),
}


async def get_csv(request: Request) -> Response:
    """Return a list as CSV."""
    name: str = request.path_params["name"]
    if name not in LISTS:
        raise HTTPException(404)
    rows = await _rows(request, LISTS[name])
    return Response(
        csv_of(LISTS[name].columns, rows),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


async def _rows(request: Request, listed: Listed) -> list[Mapping[str, Any]]:
    console: Console = request.app.state.console
    key, given = session_of(request).key, request.query_params
    path = listed.path.replace("{id}", quote(given.get("id", ""), safe=""))
    params = {asked: given.get(name) for asked, name in listed.asks}
    if listed.part != PAGED:
        answer = await console.service.get(key, path, **params)
        found: list[Mapping[str, Any]] = answer.get(listed.part, []) if listed.part else answer
        return found
    rows: list[Mapping[str, Any]] = []
    cursor = None
    while len(rows) < ROWS_MAX:
        page = await console.service.get(key, path, **params, cursor=cursor, limit=PAGE_MAX)
        rows += page["items"]
        cursor = page.get("next_cursor")  # Of those with the least left there is one page.
        if not cursor:
            break
    return rows


def csv_of(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV. A text that a spreadsheet would carry out gets a quote before it."""
    names, text = list(columns), io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
