"""The commands that ask the running service: its state, reading RAM anew, comparing it."""

import time
from typing import Annotated

import typer

from actors.cli.terminal import (
    RUN_SECONDS_MAX,
    AsJson,
    Service,
    fail,
    load_settings,
    out,
    print_json,
    print_table,
    progress_bar,
    working,
)
from actors.cli.watch import INTERVAL_SECONDS_MIN, watch_status
from actors.events.reports import EventsReport
from actors.protocol.directory import SHARDS_MAX
from actors.protocol.reports import RereadReport, ReshardReport, ShardReport, SweepReport

SHARD_COLUMNS = (
    *("shard", "node", "pid", "code", "users", "queued"),
    *("hits", "misses", "writes", "behind", "up"),
)
NODE_LENGTH = 8  # Characters of a node's id: enough to tell it from others.
FOUND = ("missing_in_ram", "missing_in_db", "stale", "quarantined", "invariants_broken")
PROGRESS_SECONDS = 0.5  # Between two looks how far something is.
RUNNING = frozenset({409})
AWAY = frozenset({503})  # The janitor, or its database, is being started again: it goes on.
NOT_THERE = frozenset({404, 405})  # A service without synchronisation has nothing to tell of it.


def status(
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again and again, with rates, until Ctrl-C.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=INTERVAL_SECONDS_MIN, help="Seconds between two looks.")
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Print the shards of the running service, sync lag, last sweep, undelivered events.

    `--watch` shows charges, credits and refusals a minute, users in RAM, drift, lag, what waits and whether
    all parts answer, while the service is away and after it, too. A pipe gets a line a look; with `--json`
    each is a JSON object.
    """
    if watch:
        watch_status(load_settings(), interval, as_json=as_json)
        return
    service = Service(load_settings())
    shards = [ShardReport.model_validate(row) for row in service.ask("GET", "/admin/shards")]
    sync = service.ask("GET", "/admin/sync", unless=NOT_THERE)
    sweeps = service.ask("GET", "/admin/sweeps?job=sweep&limit=1")
    events = service.ask("GET", "/admin/events", unless=NOT_THERE)
    if as_json:
        rows = [shard.model_dump(mode="json") for shard in shards]
        last_sweep = sweeps[0] if sweeps else None
        print_json({"shards": rows, "sync": sync, "last_sweep": last_sweep, "events": events})
        return
    print_table(SHARD_COLUMNS, map(shard_cells, shards))
    out.print(holds_line(shards), highlight=False)
    lag = (sync or {}).get("lag_seconds")
    out.print(f"sync lag: {'-' if lag is None else f'{lag:.1f}s'}", highlight=False)
    last = sweep_line(SweepReport.model_validate(sweeps[0])) if sweeps else "none yet"
    out.print(f"last sweep: {last}", highlight=False, soft_wrap=True)
    for problem in sweeps[0].get("index_problems", ()) if sweeps else ():
        out.print(f"index problem: {problem}", highlight=False, soft_wrap=True)
    if events is not None:
        out.print(events_line(EventsReport.model_validate(events)), highlight=False, soft_wrap=True)


def sync(
    user: Annotated[str | None, typer.Option(help="Read this user anew; without: all.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Read RAM anew from MongoDB, for one user or for all."""
    service = Service(load_settings())
    whose = "all accounts in RAM" if user is None else f"the account of {user}"
    body = None if user is None else {"user_id": user}
    with working(f"reading {whose} anew"):
        answer = service.ask("POST", "/admin/sync", body, seconds_max=RUN_SECONDS_MAX)
    report = RereadReport.model_validate(answer)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    out.print(
        f"{report.checked} checked, {report.reloaded} reloaded, {report.removed} removed"
        f" in {report.elapsed_ms / 1000:.1f}s",
        highlight=False,
    )


def validate(
    *,
    repair: Annotated[bool, typer.Option(help="Read anew what differs from MongoDB.")] = True,
    as_json: AsJson = False,
) -> None:
    """Compare RAM with MongoDB, hold the views to their rules, and print what differs."""
    service = Service(load_settings())
    with working("comparing RAM with MongoDB"):
        answer = service.ask(
            "POST", "/admin/validate", {"repair": repair}, seconds_max=RUN_SECONDS_MAX
        )
    report = SweepReport.model_validate(answer)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    print_table(("found", "accounts or documents"), findings(report))
    out.print(sweep_line(report), highlight=False, soft_wrap=True)


def reshard(
    shards: Annotated[
        int, typer.Option(min=1, max=SHARDS_MAX, help="How many shards there shall be.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Change the number of shards while they serve, and wait until it is done.

    Interrupted, it goes on in the service; asked again for the same number, this follows it.
    """
    service = Service(load_settings())
    begun = service.ask("POST", "/admin/reshard", {"shards": shards}, unless=RUNNING)
    if begun is None:
        other = ReshardReport.model_validate(service.ask("GET", "/admin/reshard"))
        fail(f"Another change is not finished: {reshard_line(other)}.")
    report = ReshardReport.model_validate(begun)
    with progress_bar("moving slots", report.slots) as show:
        while report.running:
            show(report.moved)
            time.sleep(PROGRESS_SECONDS)
            found = service.ask("GET", "/admin/reshard", unless=AWAY)
            report = report if found is None else ReshardReport.model_validate(found)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    out.print(reshard_line(report), highlight=False)


def reshard_line(report: ReshardReport) -> str:
    """Return how far a change of the number of shards is, in one line."""
    return (
        f"{report.shards_before} to {report.shards} shards,"
        f" {report.moved} of {report.slots} slots moved in {report.elapsed_seconds:.1f}s"
    )


def events_line(report: EventsReport) -> str:
    """Return how delivery stands, with the endpoints that are down."""
    down = ", ".join(one.endpoint for one in report.endpoints if not one.healthy)
    line = f"undelivered events: {report.undelivered_count}, dead: {report.dead_count}"
    return f"{line}, down: {down}" if down else line


def shard_cells(report: ShardReport) -> tuple[str, ...]:
    """Return a shard as the table shows it."""
    process = (report.shard, report.node_id[:NODE_LENGTH], str(report.pid), report.code)
    counts = (report.users, report.queued, report.hits, report.misses, report.writes)
    behind, up = report.journal_seconds_behind, report.uptime_seconds
    return (*process, *map(str, counts), f"{behind:.1f}s", f"{up:.0f}s")


def holds_line(reports: list[ShardReport]) -> str:
    """Return what is known of holds in one line."""
    count, expired = sum(r.holds_open for r in reports), sum(r.holds_expired for r in reports)
    oldest = max((r.oldest_hold_seconds for r in reports), default=0.0)
    held = sum(r.credits_held for r in reports)
    return f"holds: {count} open with {held} credits, oldest {oldest:.0f}s, {expired} expired"


def findings(report: SweepReport) -> list[tuple[str, str]]:
    """Return what a sweep found, a row each."""
    rows = [(name.replace("_", " "), str(getattr(report, name))) for name in FOUND]
    rows += [("named", user) for user in report.users]
    return rows + [("index problem", problem) for problem in report.index_problems]


def sweep_line(report: SweepReport) -> str:
    """Return a sweep in one line."""
    return (
        f"{report.checked} checked, {report.repaired} repaired, drift {report.drift:.6g},"
        f" {report.elapsed_ms / 1000:.1f}s, {report.started_at:%Y-%m-%d %H:%M:%S} UTC"
    )


def add_operator_commands(app: typer.Typer) -> None:
    """Add the commands that ask the running service."""
    for command in (status, sync, validate, reshard):
        app.command()(command)
