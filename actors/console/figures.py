"""What one look at the service shows: for the overview, and for `allotment status --watch`."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from actors.console import words
from actors.console.rates import COUNTED, Rates
from actors.console.service import Service


class Figures(NamedTuple):
    """What operators look at. None: that part of the service does not answer, or not yet."""

    tone: str
    sentence: str
    """The state of `/readyz`."""
    rates: Mapping[str, float | None]
    """So much a minute, of each of `COUNTED`."""
    shards: Sequence[Mapping[str, Any]] | None
    in_ram: int | None
    """Users."""
    held: int | None
    """Credits."""
    holds: int | None
    nodes: int | None
    behind: float | None
    """Seconds by which the collections are behind the journal, at the slowest shard."""
    stale: Sequence[str]
    """Shards that hear of no changes."""
    sync: Mapping[str, Any] | None
    sweep: Mapping[str, Any] | None
    """The newest; None: none yet, too."""
    events: Mapping[str, Any] | None
    down: Sequence[Mapping[str, Any]]
    """Endpoints that take no events."""
    reshard: Mapping[str, Any] | None


async def look(service: Service, key: str, rates: Rates, at: float) -> Figures:
    """Ask for everything at once, and note it for the rates. Raises RefusedError for a wrong key.

    `at` is of a clock that only goes forward, in seconds.
    """
    missing, shards, sync, sweeps, events, reshard = await asyncio.gather(
        service.missing(),
        service.get_or_none(key, "/admin/shards"),
        service.get_or_none(key, "/admin/sync"),
        service.get_or_none(key, "/admin/sweeps", job="sweep", limit=1),
        service.get_or_none(key, "/admin/events"),
        service.get_or_none(key, "/admin/reshard"),
    )
    if shards is not None:
        rates.note(at, shards)
    tone, sentence = words.readiness(missing)
    return Figures(
        tone=tone,
        sentence=sentence,
        rates={name: None if shards is None else rates.a_minute(name) for name in COUNTED},
        shards=shards,
        in_ram=_sum_of(shards, "users"),
        held=_sum_of(shards, "credits_held"),
        holds=_sum_of(shards, "holds_open"),
        nodes=None if shards is None else len({one["node_id"] for one in shards}),
        behind=max((one["journal_seconds_behind"] for one in shards or ()), default=None),
        stale=[one["shard"] for one in shards or () if one["stale"]],
        sync=sync,
        sweep=sweeps[0] if sweeps else None,
        events=events,
        down=[one for one in (events or {}).get("endpoints", ()) if not one["healthy"]],
        reshard=reshard,
    )


def _sum_of(rows: Sequence[Mapping[str, Any]] | None, name: str) -> int | None:
    return None if rows is None else sum(int(row.get(name, 0)) for row in rows)
