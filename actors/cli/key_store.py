"""Where the commands about keys find the keys, and write down what they do to them."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import typer

from actors.auth.api_keys import KeyStore
from actors.auth.audit import ActOutcome, Audit, by_command, make_act
from actors.cli.terminal import errors, fail
from actors.embedded.keeper import EmbeddedMongo
from actors.embedded.server import EmbeddedMongoError
from actors.mongo.audit import MongoAudit
from actors.mongo.connection import check_suitable, connect
from actors.mongo.embedded_wire import MongoWire
from actors.mongo.keys import MongoKeys
from actors.mongo.preparation import prepare
from actors.protocol.store import StorageUnavailableError, UnsuitableDatabaseError
from actors.settings import Settings
from domain.values import to_instant


class Kept(NamedTuple):
    """The keys, and the audit of what is done to them."""

    keys: KeyStore
    audit: Audit

    @contextlib.contextmanager
    def act(self, action: str, target: str | None = None) -> Iterator[list[str]]:
        """Write an act down, before the block does it and after; the block says what it has made."""
        act = make_act(to_instant(datetime.now(UTC)), by_command(), action, target=target)
        self.audit.begin(act)
        outcome, made = ActOutcome.FAILED, list[str]()
        try:
            yield made
            outcome = ActOutcome.DONE
        except typer.Exit:
            outcome = ActOutcome.REFUSED
            raise
        finally:
            with contextlib.suppress(StorageUnavailableError):  # Then it stays `asked`.
                self.audit.finish(act.act_id, outcome, made[0] if made else None)


@contextlib.contextmanager
def database_told() -> Iterator[None]:
    """End the command with one sentence where the world is not as it must be."""
    try:
        yield
    except (EmbeddedMongoError, UnsuitableDatabaseError) as error:
        fail(str(error))
    except StorageUnavailableError:
        fail("The database does not answer.")


@contextlib.contextmanager
def key_store(settings: Settings) -> Iterator[Kept]:
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
        yield Kept(MongoKeys(database), MongoAudit(database))
