"""The overview: how much is decided, what is in RAM, what waits, and whether all parts answer."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from actors.console import words
from actors.console.charts import line_of
from actors.console.console import Console
from actors.console.guard import session_of
from actors.console.rates import COUNTED


async def get_overview(request: Request) -> Response:
    """Show the overview. The page asks for its live part again by itself."""
    console: Console = request.app.state.console
    return console.page(request, "overview.html", **await _content(console, request))


async def get_live(request: Request) -> Response:
    """Return the live part."""
    console: Console = request.app.state.console
    return console.fragment("overview_live.html", **await _content(console, request))


async def _content(console: Console, request: Request) -> dict[str, Any]:
    key, service = session_of(request).key, console.service
    missing, shards, sync, sweeps, events, reshard = await asyncio.gather(
        service.missing(),
        service.get_or_none(key, "/admin/shards"),
        service.get_or_none(key, "/admin/sync"),
        service.get_or_none(key, "/admin/sweeps", job="sweep", limit=1),
        service.get_or_none(key, "/admin/events"),
        service.get_or_none(key, "/admin/reshard"),
    )
    if shards is not None:
        console.rates.note(console.clock(), shards)
    tone, sentence = words.readiness(missing)
    return {
        "tone": tone,
        "sentence": sentence,
        "rates": {name: console.rates.a_minute(name) for name in COUNTED},
        "course": line_of(console.rates.course("writes")),
        "shards": shards,
        "in_ram": sum_of(shards, "users"),
        "held": sum_of(shards, "credits_held"),
        "holds": sum_of(shards, "holds_open"),
        "nodes": len({one["node_id"] for one in shards or ()}),
        "behind": max((one["journal_seconds_behind"] for one in shards or ()), default=None),
        "stale": [one["shard"] for one in shards or () if one["stale"]],
        "sync": sync,
        "sweep": sweeps[0] if sweeps else None,
        "events": events,
        "down": [one for one in (events or {}).get("endpoints", ()) if not one["healthy"]],
        "reshard": reshard,
    }


def sum_of(rows: Sequence[Mapping[str, Any]] | None, name: str) -> int | None:
    """Return a sum over rows; None where there are no rows to be had."""
    return None if rows is None else sum(int(row.get(name, 0)) for row in rows)
