"""What the keeper of the embedded server says to it over the wire."""

import contextlib
from collections.abc import Iterator
from itertools import islice
from string import ascii_lowercase
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

SOCKET_SECONDS = 10.0  # How long a call waits for one answer.
PING_SECONDS = 1.0
KEEPER_DATABASE = "allotment-keeper"  # Where the embedded server shows that it makes progress.
PROBE_ID = "allotment-probe"
PROBED_MAX = 100  # Collections of the embedded server that are looked at.
Documents = Database[dict[str, Any]]


def _write_and_index(probed: Collection[dict[str, Any]]) -> None:
    # Made outside of the transaction: there it would wait for a lock, and be waited for.
    probed.update_one({"_id": PROBE_ID}, {"$set": {"n": 0}}, upsert=True)
    with probed.database.client.start_session() as session, session.start_transaction():
        probed.update_one({"_id": PROBE_ID}, {"$inc": {"n": 1}}, session=session)
    probed.create_index("n", name=PROBE_ID)
    probed.drop_index(PROBE_ID)


def _collections(client: MongoClient[dict[str, Any]]) -> Iterator[Collection[dict[str, Any]]]:
    for database in client.list_database_names():
        for name in client[database].list_collection_names():
            yield client[database][name]


class MongoWire:
    """The few commands that the launcher of the embedded server needs."""

    def ping(self, uri: str) -> bool:
        """Say whether the server answers within about a second."""
        with self._admin(uri) as admin:
            try:
                return bool(admin.command("ping").get("ok"))
            except PyMongoError:
                return False

    def probe(self, uri: str) -> None:
        """Have the server write in a transaction, make an index, and lock every collection.

        The transaction lets the server end those that clients left open a minute ago. Raises
        TimeoutError where there is no answer, and PyMongoError where it is an error.
        """
        with self._admin(uri) as admin:
            try:
                _write_and_index(admin.client[KEEPER_DATABASE].probe)
                for collection in islice(_collections(admin.client), PROBED_MAX):
                    with contextlib.suppress(OperationFailure):  # A view takes no write.
                        collection.delete_many({"_id": PROBE_ID})  # It is never there.
            except ConnectionFailure as error:
                raise TimeoutError from error

    def end_orphaned_sessions(self, uri: str) -> None:
        """End transactions that a killed client left open; others would wait for them."""
        with self._admin(uri) as admin, contextlib.suppress(OperationFailure):
            admin.command("killAllSessions", [])

    def make_tables(self, uri: str) -> None:
        """Make the server create its tables now: killed amid that, it could never use them.

        It keeps 16 tables for all collections and picks one by the low bits of a hash of the
        name, so a run of 16 letters reaches each. Dropping the collections keeps the tables.
        """
        with self._admin(uri) as admin:
            for letter in ascii_lowercase:
                admin.client["allotment-scratch"][letter].insert_one({})
            admin.client.drop_database("allotment-scratch")

    @contextlib.contextmanager
    def _admin(self, uri: str) -> Iterator[Documents]:
        client: MongoClient[dict[str, Any]] = MongoClient(
            uri,
            retryWrites=False,
            serverSelectionTimeoutMS=int(PING_SECONDS * 1000),
            socketTimeoutMS=int(SOCKET_SECONDS * 1000),
        )
        try:
            yield client.admin
        finally:
            client.close()
