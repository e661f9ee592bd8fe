"""The command that makes a user anonymous."""

import secrets
import time
from typing import Annotated
from urllib.parse import quote

import typer

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
