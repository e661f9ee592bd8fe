"""The command with which an operator says that the clock is right."""

import typer

from actors.auth.audit import ActOutcome, by_command, make_act
from actors.cli.terminal import fail, load_settings, out
from actors.mongo.audit import MongoAudit
from actors.mongo.clock import MongoWitnesses
from actors.mongo.connection import connect
from actors.mongo.stored_format import check_format
from actors.protocol.store import StorageUnavailableError, UnsuitableDatabaseError
from actors.runtime.steady_time import wall_time
from actors.settings import Settings
from domain.values import to_instant


def accept_clock() -> None:
    """Say that this machine's clock is right, where ends and old entries wait for that."""
    now = wall_time()
    try:
        database = connect(uri_of(load_settings()), load_settings().mongo_db)
        try:
            check_format(database)
            act = make_act(to_instant(now), by_command(), "accept-clock", outcome=ActOutcome.DONE)
            MongoAudit(database).begin(act)
            MongoWitnesses(database).note(now)
        finally:
            database.client.close()
    except StorageUnavailableError as error:
        fail(f"The database does not answer: {error}.")
    except UnsuitableDatabaseError as error:
        fail(str(error))
    out.print(f"{now:%Y-%m-%d %H:%M:%S} UTC is taken to be right", highlight=False)


def uri_of(settings: Settings) -> str:
    """Return where the database of the running service is, or end the command."""
    if settings.mongo_uri is not None:
        return settings.mongo_uri.get_secret_value()
    file = settings.data_dir / "mongo.uri"
    if not file.exists():
        fail("No service runs with this data directory: start it with `allotment up`.")
    return file.read_text()


def add_clock_command(app: typer.Typer) -> None:
    """Add the command about the clock."""
    app.command()(accept_clock)
