"""`allotment status --watch`: one look after another, as a live table, as lines, or as JSON."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import typer
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from actors.cli.console import address_of
from actors.cli.terminal import fail, first_key, one_line, out
from actors.console import words
from actors.console.figures import Figures, look
from actors.console.rates import COUNTED, Rates
from actors.console.service import RefusedError, connected
from actors.settings import Settings

INTERVAL_SECONDS_MIN = 0.2
COLOURS = {"good": "green", "bad": "red"}
SHARD_COLUMNS = ("shard", "node", "users", "queued", "charges", "behind", "up", "follows")
NODE_LENGTH = 8  # Characters of a node's id: enough to tell it from others.
NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"  # Not every terminal knows how wide it is.

Row = dict[str, Any]
Show = Callable[[Figures | None, float], None]
"""Takes what was seen (None: no answer yet), and for how many seconds an answer is waited for."""


def watch_status(settings: Settings, interval: float, *, as_json: bool) -> None:
    """Look every `interval` seconds until Ctrl-C. Only a key that is not known ends it before."""
    key, address = first_key(settings), address_of(settings)

    async def watch(show: Show) -> None:
        rates = Rates()
        async with connected(address) as service:
            await look_forever(
                lambda: look(service, key, rates, time.monotonic()), show, interval, time.monotonic
            )

    try:
        with showing(address, as_json=as_json) as show:
            asyncio.run(watch(show))
    except KeyboardInterrupt:
        return  # That is how it ends.
    except RefusedError as error:
        fail(f"The service on {address} answers {error.status}: {error.title}")


async def look_forever(
    look_once: Callable[[], Awaitable[Figures]],
    show: Show,
    interval: float,
    clock: Callable[[], float],
) -> None:
    """Show look after look, each `interval` seconds after the one before began, or once that is there.

    While an answer is waited for, that is shown. Raises RefusedError.
    """
    while True:
        began = clock()
        looking = asyncio.ensure_future(look_once())
        while not (await asyncio.wait({looking}, timeout=interval))[0]:
            show(None, clock() - began)
        show(looking.result(), 0.0)
        await asyncio.sleep(max(0.0, began + interval - clock()))


@contextlib.contextmanager
def showing(address: str, *, as_json: bool) -> Iterator[Show]:
    """Yield what shows a look: a table that is drawn anew on a terminal, lines elsewhere."""
    if as_json or not out.is_terminal:
        yield lines(as_json=as_json)
        return
    newest: Figures | None = None
    with Live(console=out, auto_refresh=False) as live:

        def show(figures: Figures | None, waited: float) -> None:
            nonlocal newest
            newest = figures or newest
            live.update(picture(address, newest, now(), waited), refresh=True)

        yield show


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def lines(*, as_json: bool) -> Show:
    """Return what prints a line a look; before the first of a table, its columns."""
    is_first = True

    def show(figures: Figures | None, _waited: float) -> None:
        nonlocal is_first
        if figures is None:
            return
        row = row_of(figures, now())
        if as_json:
            typer.echo(json.dumps(row, ensure_ascii=False))
            return
        for cells in (row.keys(), row.values()) if is_first else (row.values(),):
            typer.echo("\t".join(map(cell, cells)))
        is_first = False

    return show


def cell(value: object) -> str:
    """Return a value as a line has it."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else one_line(str(value))


def row_of(figures: Figures, at: datetime) -> Row:
    """Return a look as machines read it. Rates are so much a minute; None: not known."""
    sync, sweep, events = figures.sync or {}, figures.sweep or {}, figures.events or {}
    return {
        "at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        **{f"{name}_a_minute": figures.rates[name] for name in COUNTED},
        "users_in_ram": figures.in_ram,
        "credits_held": figures.held,
        "drift": sweep.get("drift"),
        "lag_seconds": sync.get("lag_seconds"),
        "views_seconds_behind": figures.behind,
        "shards": None if figures.shards is None else len(figures.shards),
        "nodes": figures.nodes,
        "undelivered_events": events.get("undelivered_count"),
        "dead_letters": events.get("dead_count"),
        "stripe_events": sum_of(events.get("stripe_waiting"), "fresh", "found", "parked"),
        "stripe_dead": sum_of(events.get("stripe_waiting"), "dead"),
        "state": figures.sentence,
    }


def sum_of(stripe: Row | None, *kinds: str) -> int | None:
    """Return how many events of Stripe's are of these kinds; None where there is no Stripe."""
    return None if stripe is None else sum(stripe[kind] for kind in kinds)


def picture(address: str, figures: Figures | None, at: datetime, waited: float) -> RenderableType:
    """Return what a terminal shows."""
    title = Text.assemble((f"Allotment on {address}", "bold"), f"  {at:%H:%M:%S} UTC")
    if figures is None:
        return Group(title, Text(f"No answer for {waited:.0f} s.", "yellow"))
    told = [Text(one_line(figures.sentence), COLOURS.get(figures.tone, "yellow"))]
    if waited:
        told = [Text(f"No answer for {waited:.0f} s; this is what was seen before.", "yellow")]
    told += [Text(one_line(sentence), "yellow") for sentence in warnings(figures)]
    groups = Columns([group(name, rows) for name, rows in groups_of(figures, at)], padding=(0, 3))
    return Group(title, *told, Text(), groups, Text(), shards_of(figures))


def warnings(figures: Figures) -> Iterator[str]:
    """Yield what an operator should know beside the figures."""
    reshard = figures.reshard
    if reshard and reshard["running"]:
        yield f"The number of shards changes: {reshard['moved']} of {reshard['slots']} slots moved."
    if figures.stale:
        yield f"{', '.join(figures.stale)}: hears of no changes, reads MongoDB at every call."
    if figures.down:
        yield f"Down: {', '.join(one['endpoint'] for one in figures.down)}."


def groups_of(figures: Figures, at: datetime) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the figures in words, by what they are about."""
    row, sweep = row_of(figures, at), figures.sweep
    yield (
        "a minute",
        [
            (label, number(figures.rates[name]))
            for label, name in (
                ("charges", "charges"),
                ("credits", "credits_charged"),
                ("refusals", "refusals"),
                ("writes", "writes"),
                ("statuses", "reads"),
            )
        ],
    )
    yield (
        "in RAM",
        [
            ("users", number(figures.in_ram)),
            ("open holds", number(figures.holds)),
            ("credits held", number(figures.held)),
            ("drift", plain(words.percent(row["drift"]))),
            ("last sweep", plain(words.away(sweep["started_at"], at)) if sweep else "none yet"),
        ],
    )
    yield (
        "behind",
        [
            ("RAM", plain(words.span(row["lag_seconds"]))),
            ("collections", plain(words.span(figures.behind))),
        ],
    )
    yield (
        "waits",
        [
            ("events", number(row["undelivered_events"])),
            ("dead letters", number(row["dead_letters"])),
            ("Stripe's events", number(row["stripe_events"])),
            ("dead ones", number(row["stripe_dead"])),
        ],
    )
    yield ("runs", [("shards", number(row["shards"])), ("nodes", number(row["nodes"]))])


def number(value: float | None) -> str:
    """Return a number with groups of three."""
    return plain(words.number(value))


def plain(text: str) -> str:
    """Return a text as every terminal shows it."""
    return text.replace(NARROW_SPACE, " ")


def group(name: str, rows: list[tuple[str, str]]) -> Table:
    """Return figures that belong together."""
    table = Table(name, "", box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.columns[1].justify = "right"
    for row in rows:
        table.add_row(*row)
    return table


def shards_of(figures: Figures) -> Table:
    """Return the table of shards."""
    table = Table(*SHARD_COLUMNS)
    for one in figures.shards or ():
        table.add_row(
            one_line(one["shard"]),
            one_line(one["node_id"][:NODE_LENGTH]),
            number(one["users"]),
            number(one["queued"]),
            number(one.get("charges")),
            plain(words.span(one["journal_seconds_behind"])),
            plain(words.span(one["uptime_seconds"])),
            "no" if one["stale"] else "yes",
        )
    return table
