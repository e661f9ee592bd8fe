"""Makes a database ready for the service: its format, its collections, its indexes."""

from pymongo.errors import OperationFailure

from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.indexes import make_indexes
from actors.mongo.steps import Tell
from actors.mongo.stored_format import bring_forward
from actors.mongo.uri import EMBEDDED_SET_NAME
from actors.protocol.store import StorageUnavailableError, UnsuitableDatabaseError


def prepare(database: Documents, tell: Tell = lambda _: None) -> None:
    """Bring the database to our format and make its indexes. Safe to repeat.

    `tell` is given a line a step: each is about something that was there before. Raises
    StorageUnavailableError, UnsuitableDatabaseError.
    """
    try:
        bring_forward(database, tell)
        with unavailable_on_error():
            hello = database.client.admin.command("hello")
            make_indexes(database, tell, embedded=hello.get("setName") == EMBEDDED_SET_NAME)
    except StorageUnavailableError as error:
        if isinstance(error.__cause__, OperationFailure):
            raise UnsuitableDatabaseError(
                f"The database cannot be prepared: {error.__cause__}."
            ) from error.__cause__
        raise
