"""Connections to MongoDB: options, what a server must be able to do, and its failures as ours."""

import contextlib
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern

from actors.mongo.embedded_wire import PING_SECONDS, SOCKET_SECONDS, Documents
from actors.mongo.failures import cause
from actors.mongo.uri import EMBEDDED_SET_NAME, problem_of_options, problem_of_server
from actors.protocol.store import ELECTION_SECONDS, StorageUnavailableError, UnsuitableDatabaseError

CONNECT_SECONDS = 2.0


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
