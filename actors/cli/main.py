"""The command `allotment`: runs the service, and what operators do beside it."""

import contextlib
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actors.cli.clock import add_clock_command
from actors.cli.cluster import add_cluster_commands
from actors.cli.console import Beside, add_console_command
from actors.cli.corrections import add_correcting_commands
from actors.cli.key_store import database_told
from actors.cli.keys import keys
from actors.cli.moving_in import add_moving_in_command
from actors.cli.operator import add_operator_commands
from actors.cli.prices import prices
from actors.cli.readiness import wait_until_ready
from actors.cli.stopping import Stopping
from actors.cli.stripe import stripe
from actors.cli.terminal import fail, load_settings, out
from actors.cli.users import add_user_commands
from actors.remote import environment
from actors.runtime import tracing
from actors.settings import Settings

if TYPE_CHECKING:  # It imports ray, whose environment is set first.
    from actors.launch import Started

OTHERS = 0o077  # What no process of a service lets others do with a new file.

ABOUT = """
Allotment decides whether a user may spend credits. `up` runs the service; the other commands ask
it, or keep its keys.

Settings are environment variables (ALLOTMENT_…) or lines of `.env`. Exit codes: 0 done, 1 not done
(a sentence on standard error says why), 2 wrong usage, 130 interrupted.
"""

app = typer.Typer(
    no_args_is_help=True, add_completion=True, help=ABOUT, rich_markup_mode="markdown"
)
app.add_typer(keys, name="keys")
app.add_typer(prices, name="prices")
app.add_typer(stripe, name="stripe")


def print_version(wanted: bool) -> None:  # noqa: FBT001 - an option's value
    """Print the version and end, where that is asked for."""
    if wanted:
        out.print(f"allotment {version('allotment')}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=print_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Take the options before a command."""


@app.command()
def up(
    *,
    with_console: Annotated[
        bool, typer.Option("--console", help="Run the operators' console beside it.")
    ] = False,
) -> None:
    """Run the whole service in the foreground, until SIGINT (Ctrl-C) or SIGTERM.

    It needs no settings: its database is embedded, its data are in `.allotment`, HTTP is on
    127.0.0.1:8000. ALLOTMENT_MONGO_URI, ALLOTMENT_DATA_DIR and ALLOTMENT_HTTP_PORT say otherwise;
    docs/settings.md lists all. It prints the address of Ray's dashboard, where its actors are shown, and
    `ready` when it is.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    os.umask(OTHERS)
    settings = load_settings()
    os.environ.update(environment.haproxy_limits(settings))
    environment.prepare()
    from actors.launch import service  # noqa: PLC0415 - imports ray, see above
    from actors.remote.start_steps import CannotStartError  # noqa: PLC0415 - the same

    stopping = Stopping.by_signals()

    def tell(step: str) -> None:
        if stopping.is_asked():
            raise typer.Exit
        out.print(f"starting {step} …", highlight=False)

    try:
        with database_told(), service(settings, tell) as started:
            address = f"http://{settings.http_host}:{settings.http_port}"
            wait_until_ready(address, stopping)
            with Beside() if with_console else contextlib.nullcontext() as console:
                greet(settings, address, started, console)
                stopping.wait()
            out.print("stopping: accepted requests are answered first …")
    except CannotStartError as error:
        fail(str(error))


def greet(settings: Settings, address: str, started: "Started", console: Beside | None) -> None:
    """Print the addresses, the first key, a request to copy, and `ready`."""
    key, dashboard_url = started
    if tracing.is_wanted() and not tracing.is_installed():
        out.print(tracing.NOT_INSTALLED)
    shown = key or f"$(cat {settings.data_dir}/admin.key)"
    out.print(f"\nAllotment answers on {address}", highlight=False)
    if console:
        out.print(console.greeting, highlight=False, soft_wrap=True)
    if dashboard_url:
        out.print(
            f"its actors are shown on {dashboard_url} (Ray's dashboard;"
            f" `{ray_command()} get-auth-token` prints the token that it asks for)",
            highlight=False,
            soft_wrap=True,
        )
    if key:
        out.print(f"admin key, shown once: {key}", highlight=False, soft_wrap=True)
    out.print(
        "a first request:\n"
        f"  curl -s -H 'Content-Type: application/json' -H \"Authorization: Bearer {shown}\" \\\n"
        f"    {address}/subscription/credits -d '"
        '{"user_id":"ada","amount":3000,"days":30,"payment":'
        '{"method":"card","transaction_id":"t-1","amount":2900,"currency":"eur"}}\'\n',
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    out.print("ready")


def ray_command() -> str:
    """Return how Ray's command is called from here."""
    path, here = Path(sys.executable).with_name("ray"), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


add_operator_commands(app)
add_cluster_commands(app)
add_user_commands(app)
add_moving_in_command(app)
add_correcting_commands(app)
add_clock_command(app)
add_console_command(app)


def main() -> None:
    """Run the command line."""
    app()
