"""One server for the whole run, one database for each test that wants one.

The server is the embedded one, or the MongoDB that ALLOTMENT_TEST_MONGO_URI names.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from pymongo.uri_parser import parse_uri

from actors.embedded.keeper import EmbeddedMongo
from actors.mongo.connection import check_suitable, connect
from actors.mongo.embedded_wire import Documents, MongoWire
from actors.mongo.preparation import prepare
from tests.fakes.setups import MemorySetup, MongoSetup, Setup, mongomock_setup
from tests.wire.proxy import Proxy
from tests.wire.replica_set import ReplicaSet

NUMBERS = count()
REAL_MONGO_URI = os.environ.get("ALLOTMENT_TEST_MONGO_URI")
RAM = Path("/dev/shm")  # Of Linux; containers often have a small one.
DATA_BYTES_MAX = 2 * 1024**3  # Of the servers of all workers; one has some 100 MB at the end.


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """Where the server answers."""
    if REAL_MONGO_URI:
        yield REAL_MONGO_URI
        return
    with data_folder() as folder, EmbeddedMongo(folder / "mongo", wire=MongoWire()) as server:
        yield server.uri


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
    """Yield a folder for a server's data; in RAM, where there is room: it awaits every write."""
    has_room = RAM.is_dir() and shutil.disk_usage(RAM).free > DATA_BYTES_MAX
    with tempfile.TemporaryDirectory(dir=RAM if has_room else None) as folder:
        yield Path(folder)


@pytest.fixture
def database(mongo_uri: str) -> Iterator[Documents]:
    """Yield a database on the server that nothing of ours has seen."""
    database = connect(mongo_uri, f"bare-{next(NUMBERS)}")
    yield database
    database.client.drop_database(database.name)
    database.client.close()


@pytest.fixture
def embedded(mongo_uri: str) -> Iterator[MongoSetup]:
    """Yield a store on the server, in a database of its own."""
    database = connect(mongo_uri, f"test-{next(NUMBERS)}")
    check_suitable(database)
    prepare(database)
    yield MongoSetup(database)
    database.client.drop_database(database.name)
    database.client.close()


@pytest.fixture
def mongomock() -> MongoSetup:
    """Return a store on a database that is simulated in this process."""
    return mongomock_setup()


@pytest.fixture(params=["memory", "mongomock", "embedded"])
def setup(request: pytest.FixtureRequest) -> Setup:
    """Return every store there is."""
    if request.param == "memory":
        return MemorySetup()
    chosen: Setup = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=["mongomock", "embedded"])
def mongo(request: pytest.FixtureRequest) -> MongoSetup:
    """Return every store that speaks to a MongoDB."""
    chosen: MongoSetup = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=["memory", "embedded"])
def summing(request: pytest.FixtureRequest) -> Setup:
    """Return every store that can sum by day: mongomock's `$dateToString` knows no time zones."""
    if request.param == "memory":
        return MemorySetup()
    chosen: Setup = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def proxy(mongo_uri: str) -> Iterator[Proxy]:
    """Yield a proxy before the embedded server."""
    with Proxy(parse_uri(mongo_uri)["nodelist"][0]) as proxy:
        yield proxy


@pytest.fixture
def replica_set(mongo_uri: str) -> Iterator[ReplicaSet]:
    """Yield two members before the embedded server."""
    members = ReplicaSet(mongo_uri)
    yield members
    members.close()
