"""The commands about who did what: a user made anonymous, the audit of administrators' acts."""

import secrets
import time
from typing import Annotated
from urllib.parse import quote, urlencode

import typer

from actors.auth.audit import ActPage, ActRecord
from actors.cli.terminal import (
    RUN_SECONDS_MAX,
    AsJson,
    Service,
    load_settings,
    out,
    print_json,
    print_table,
    working,
)
from actors.protocol.reports import AnonymizationReport

PROGRESS_SECONDS = 0.5  # Between two looks how far it is.
AWAY = frozenset({503})  # The janitor, or its database, is being started again: it goes on.


def anonymize(
    user: Annotated[str, typer.Argument(help="The user's id.")], *, as_json: AsJson = False
) -> None:
    """Put a random id in the place of a user's in everything that is stored, for ever.

    Interrupted, it goes on in the service; asked again, this follows it.
    """
    service = Service(load_settings())
    path, key = f"/users/{quote(user, safe='')}", secrets.token_hex(16)
    with working("renaming everything", lambda: progress_of(service)):
        while True:
            answer = service.ask(
                "DELETE",
                path,
                {"mode": "anonymize"},
                seconds_max=RUN_SECONDS_MAX,
                unless=AWAY,
                key=key,
            )
            if answer is not None:
                break
            time.sleep(PROGRESS_SECONDS)
    report = AnonymizationReport.model_validate(answer)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    if report.anonymous_id is None:
        out.print("nothing names this user", highlight=False)
        return
    rows = [(name, str(count)) for name, count in sorted(report.documents.items())]
    print_table(("collection", "documents renamed"), rows)
    out.print(f"the user is {report.anonymous_id} now", highlight=False)


def audit(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many acts, newest first.")] = 50,
    by: Annotated[str | None, typer.Option(help="Of one caller, such as key:5f0c91ab.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Print which administrative acts were asked for, when, and with which key."""
    query = {"limit": limit} | ({} if by is None else {"by": by})
    page = Service(load_settings()).ask("GET", f"/admin/audit?{urlencode(query)}")
    acts = ActPage.model_validate(page).items
    if as_json:
        print_json([act.model_dump(mode="json") for act in acts])
        return
    columns = ("when", "by", "act", "about", "user", "made", "outcome")
    print_table(columns, map(act_cells, acts))


def act_cells(act: ActRecord) -> tuple[str, ...]:
    """Return an act as the table shows it."""
    about = (act.target or "", act.user_id or "", act.made or "")
    return (f"{act.at:%Y-%m-%d %H:%M:%S}", act.by, act.action, *about, str(act.outcome))


def progress_of(service: Service) -> str | None:
    """Return how far the anonymisations are that run; None: that is not known."""
    listed = service.ask("GET", "/admin/anonymizations?limit=10", unless=AWAY)
    running = [AnonymizationReport.model_validate(row) for row in listed or ()]
    running = [report for report in running if report.finished_at is None]
    if not running:
        return None
    count = sum(sum(report.documents.values()) for report in running)
    waits = next((f", waits for {r.waits_for}" for r in running if r.waits_for), "")
    return f"{running[0].step}: {count} documents{waits}"


def add_user_commands(app: typer.Typer) -> None:
    """Add the commands about users."""
    app.command()(anonymize)
    app.command()(audit)
