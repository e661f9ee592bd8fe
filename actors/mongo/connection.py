"""Connections to MongoDB: options, what a server must be able to do, and its failures as ours."""

import contextlib
from collections.abc import Iterator
from datetime import UTC
from itertools import islice
from string import ascii_lowercase
from typing import Any

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern

from actors.embedded.server import EMBEDDED_SET_NAME
from actors.mongo.failures import cause
from actors.mongo.uri import problem_of_options, problem_of_server
from actors.protocol.store import ELECTION_SECONDS, StorageUnavailableError

CONNECT_SECONDS = 2.0
SOCKET_SECONDS = 10.0  # How long a call waits for one answer.
PING_SECONDS = 1.0
KEEPER_DATABASE = "allotment-keeper"  # Where the embedded server shows that it makes progress.
PROBE_ID = "allotment-probe"
PROBED_MAX = 100  # Collections of the embedded server that are looked at.

Documents = Database[dict[str, Any]]


class UnsuitableDatabaseError(Exception):
    """The database cannot carry the service. The message is one sentence for an operator."""


def connect(uri: str, name: str, *, socket_seconds: float | None = SOCKET_SECONDS) -> Documents:
    """Return a database handle. Nothing is sent yet; writes are `w: majority`, `j: true`.

    What is read is what a majority has: no election can take it back. `socket_seconds` is how long
    a call waits for one answer; None: for ever.
    """
    problem = problem_of_options(uri)
    if problem is not None:
        raise UnsuitableDatabaseError(problem)
    # It has no elections to wait for, and after 10,000 retryable writes it is slow for ever.
    embedded = f"replicaset={EMBEDDED_SET_NAME}" in uri.lower()
    selection_seconds = CONNECT_SECONDS if embedded else ELECTION_SECONDS
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(
            uri,
            retryWrites=not embedded,
            w="majority",
            journal=True,
            serverSelectionTimeoutMS=int(selection_seconds * 1000),
            connectTimeoutMS=int(CONNECT_SECONDS * 1000),
            socketTimeoutMS=None if socket_seconds is None else int(socket_seconds * 1000),
            appname="allotment",
        )
    except (InvalidURI, ConfigurationError, ValueError, OSError) as error:
        raise UnsuitableDatabaseError(f"ALLOTMENT_MONGO_URI is not usable: {error}") from None
    options: CodecOptions[dict[str, Any]] = CodecOptions(
        tz_aware=True,
        tzinfo=UTC,
        # Dates of other programs beyond the year 9999 are read, as what is no date to us.
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    )
    return client.get_database(name, codec_options=options, read_concern=ReadConcern("majority"))


@contextlib.contextmanager
def unavailable_on_error() -> Iterator[None]:
    """Turn any failure of a read, or of a write that may be repeated, into ours."""
    try:
        yield
    except PyMongoError as error:
        raise StorageUnavailableError(cause(error)) from error


def is_reachable(database: Documents) -> bool:
    """Say whether the server answers within about a second."""
    try:
        with pymongo.timeout(PING_SECONDS):
            return bool(database.client.admin.command("ping").get("ok"))
    except PyMongoError:
        return False


def check_suitable(database: Documents) -> None:
    """Refuse a server that is away, is no MongoDB, or is none of a replica set."""
    try:
        hello = database.client.admin.command("hello")
        build = database.client.admin.command("buildInfo")
    except ConnectionFailure as error:
        raise UnsuitableDatabaseError(
            "MongoDB does not answer: check ALLOTMENT_MONGO_URI and that the server is up."
        ) from error
    except OperationFailure as error:
        raise UnsuitableDatabaseError(
            f"MongoDB refuses the connection: {error.details and error.details.get('errmsg')}."
        ) from error
    topology = database.client.topology_description
    hosts = [host for host, _ in topology.server_descriptions()] + hello.get("hosts", [])
    problem = problem_of_server(
        hello, build, hosts, is_direct=topology.topology_type_name == "Single"
    )
    if problem is not None:
        raise UnsuitableDatabaseError(problem)


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
