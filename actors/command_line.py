"""The command `allotment`: runs the service, and what operators do beside it."""

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from actors import ray_environment
from actors.access import Scope
from actors.api_keys import ApiKey, make_key
from actors.clock_command import add_clock_command
from actors.cluster.commands import add_cluster_commands
from actors.embedded_engine import EmbeddedMongoError
from actors.embedded_mongo import EmbeddedMongo
from actors.mongo.connection import (
    MongoWire,
    UnsuitableDatabaseError,
    check_suitable,
    connect,
)
from actors.mongo.keys import MongoKeys
from actors.mongo.preparation import prepare
from actors.operator_commands import add_operator_commands
from actors.readiness import wait_until_ready
from actors.settings import Settings
from actors.store import StorageUnavailableError
from actors.stripe.commands import stripe
from actors.terminal import (
    AsJson,
    errors,
    fail,
    load_settings,
    out,
    print_json,
    print_table,
)

NAME_LENGTH_MAX = 100  # Characters of what a key is for.

ABOUT = """
Allotment decides whether a user may spend credits. `up` runs the service; the other commands ask
it, or keep its keys.

Settings are environment variables (ALLOTMENT_…) or lines of `.env`. Exit codes: 0 done, 1 not done
(a sentence on standard error says why), 2 wrong usage, 130 interrupted.
"""

app = typer.Typer(
    no_args_is_help=True, add_completion=True, help=ABOUT, rich_markup_mode="markdown"
)
keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
app.add_typer(keys, name="keys")
app.add_typer(stripe, name="stripe")


class ScopeName(StrEnum):
    """What a key may do; each includes the ones before."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


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


@contextlib.contextmanager
def told() -> Iterator[None]:
    """End the command with one sentence where the world is not as it must be."""
    try:
        yield
    except (EmbeddedMongoError, UnsuitableDatabaseError) as error:
        fail(str(error))
    except StorageUnavailableError:
        fail("The database does not answer.")


@app.command()
def up() -> None:
    """Run the whole service in the foreground, until SIGINT (Ctrl-C) or SIGTERM.

    It needs no settings: its database is embedded, its data are in `.allotment`, HTTP is on
    127.0.0.1:8000. ALLOTMENT_MONGO_URI, ALLOTMENT_DATA_DIR and ALLOTMENT_HTTP_PORT say otherwise;
    the README lists all. It prints the address of Ray's dashboard, where its actors are shown, and
    `ready` when it is.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    settings = load_settings()
    ray_environment.prepare()
    from actors.launch import service  # noqa: PLC0415 - imports ray, see above
    from actors.start_steps import CannotStartError  # noqa: PLC0415 - the same

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())

    def tell(step: str) -> None:
        if stopping.is_set():
            raise typer.Exit
        out.print(f"starting {step} …", highlight=False)

    try:
        with told(), service(settings, tell) as started:
            address = f"http://{settings.http_host}:{settings.http_port}"
            wait_until_ready(address, stopping)
            greet(settings, address, started.first_key, started.dashboard_url)
            stopping.wait()
            out.print("stopping: accepted requests are answered first …")
    except CannotStartError as error:
        fail(str(error))


def greet(settings: Settings, address: str, key: str | None, dashboard_url: str | None) -> None:
    """Print the addresses, the first key, a request to copy, and `ready`."""
    shown = key or f"$(cat {settings.data_dir}/admin.key)"
    out.print(f"\nAllotment answers on {address}", highlight=False)
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


@contextlib.contextmanager
def key_store(settings: Settings) -> Iterator[MongoKeys]:
    """Yield the keys of the running service, or of the resting database."""
    with contextlib.ExitStack() as stack:
        uri_file = settings.data_dir / "mongo.uri"
        if settings.mongo_uri is not None:
            uri = settings.mongo_uri.get_secret_value()
        elif uri_file.exists() and MongoWire().ping(uri_file.read_text()):
            uri = uri_file.read_text()
        else:
            mongo = EmbeddedMongo(settings.data_dir.absolute() / "mongo", wire=MongoWire())
            uri = stack.enter_context(mongo).uri
        database = connect(uri, settings.mongo_db)
        stack.callback(database.client.close)
        check_suitable(database)
        prepare(database, lambda step: errors.print(f"database: {step} …", highlight=False))
        yield MongoKeys(database)


def check_name(name: str) -> str:
    """Refuse a name that would not fit into a line of the list."""
    if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise typer.BadParameter(f"give 1 to {NAME_LENGTH_MAX} printable characters")
    return name


@keys.command("create")
def create_key(
    scope: Annotated[ScopeName, typer.Option(help="What the key may do.")],
    name: Annotated[str, typer.Option(help="What the key is for.", callback=check_name)],
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it: it is shown this once."""
    settings = load_settings()
    with told(), key_store(settings) as store:
        text, key = make_key(name, Scope[scope.name], datetime.now(UTC))
        store.insert(key)
    if as_json:
        print_json(key_row(key) | {"key": text})
        return
    errors.print(f"key {key.key_id} ({scope}) is made; it is shown this once:", highlight=False)
    out.print(text, highlight=False, soft_wrap=True)


@keys.command("list")
def list_keys(*, as_json: AsJson = False) -> None:
    """Print all keys, without their secrets."""
    settings = load_settings()
    with told(), key_store(settings) as store:
        rows = [key_row(key) for key in store.list()]
    if as_json:
        print_json(rows)
        return
    columns = ("id", "name", "scope", "begins with", "created", "last used", "state")
    print_table(columns, map(cells_of, rows))


def cells_of(row: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return a key as tables show it."""
    named = tuple(row[name] or "" for name in ("key_id", "name", "scope", "prefix"))
    revoked = row["revoked_at"]
    state = f"revoked {short(revoked)}" if revoked else "in force"
    return (*named, short(row["created_at"]), short(row["last_used_at"]), state)


def key_row(key: ApiKey) -> dict[str, str | None]:
    """Return what may be shown of a key."""
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scope": key.scope.name.lower(),
        "prefix": key.prefix,
        "created_at": instant(key.created_at),
        "last_used_at": instant(key.last_used_at),
        "revoked_at": instant(key.revoked_at),
    }


def instant(moment: datetime | None) -> str | None:
    """Return a moment as HTTP shows it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None


def short(moment: str | None) -> str:
    """Return a moment as tables show it: to the minute, in UTC."""
    return moment[:16].replace("T", " ") if moment else "never"


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The id that `keys list` shows.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Revoke a key: it is refused everywhere within five seconds."""
    settings = load_settings()
    with told(), key_store(settings) as store:
        revoked = store.revoke(key_id, datetime.now(UTC))
        rows = [key_row(key) for key in store.list() if key.key_id == key_id]
    if not revoked:
        fail(f"There is no key {key_id} in force.")
    if as_json:
        print_json(rows[0])
        return
    out.print(f"key {key_id} is revoked", highlight=False)


add_operator_commands(app)
add_cluster_commands(app)
add_clock_command(app)


def main() -> None:
    """Run the command line."""
    app()
