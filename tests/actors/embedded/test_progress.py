"""The embedded server goes on, whatever its clients leave open, and what stands still is ended."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import NetworkTimeout, PyMongoError

from actors.embedded import watchdog as embedded_watch
from actors.embedded.keeper import EmbeddedMongo
from actors.embedded.server import find_engines
from actors.embedded.watchdog import Watchdog
from tests.builders.embedded_server import PlainWire, client_of, kill, log_bytes, wait_until
from tests.stopping import stop_process

NATIVE = [engine.name for engine in find_engines()][:1] == ["secantusd-rs"]
MEGABYTE = "x" * 1024 * 1024
LOG_FILE_BYTES = 64 * 1024 * 1024

pytestmark = pytest.mark.skipif(not NATIVE, reason="the native server is not installed")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "mongo"


@pytest.fixture
def server(directory: Path) -> Iterator[EmbeddedMongo]:
    with EmbeddedMongo(directory, wire=PlainWire()) as server:
        yield server


@pytest.fixture
def open_transaction(server: EmbeddedMongo) -> Iterator[None]:
    """Hold a transaction open whose client lives, and does nothing."""
    with client_of(server.uri) as client, client.start_session() as session:
        client.scratch.days.insert_one({"_id": 0})
        session.start_transaction()
        client.scratch.days.insert_one({"_id": 1}, session=session)
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the watchdog act within a few seconds."""
    monkeypatch.setattr(embedded_watch, "LOOKS_BETWEEN", 1)
    monkeypatch.setattr(embedded_watch, "LOOKS_PATIENCE", 4)
    monkeypatch.setattr(embedded_watch, "LOOKS_MAX", 8)


@pytest.mark.usefixtures("open_transaction")
def test_the_log_is_bounded_while_a_transaction_is_open_and_nothing_is_lost(
    server: EmbeddedMongo, directory: Path
) -> None:
    with client_of(server.uri) as client:
        for number in range(300):
            client.scratch.things.insert_one({"_id": number, "text": MEGABYTE})
            if number % 100 == 0:
                client[f"new-{number}"].things.create_index("text")

        wait_until(lambda: log_bytes(directory) <= 3 * LOG_FILE_BYTES)

        kill(server.pid)
        wait_until(lambda: PlainWire().ping(server.uri))
        assert client.scratch.things.count_documents({"text": MEGABYTE}) == 300


@pytest.mark.usefixtures("open_transaction", "impatient")
def test_a_server_that_waits_for_a_client_makes_indexes_again(
    server: EmbeddedMongo, caplog: pytest.LogCaptureFixture
) -> None:
    def makes_indexes() -> bool:
        with client_of(server.uri) as client, contextlib.suppress(PyMongoError):
            return client.scratch.other.create_index("text") == "text_1"
        return False

    with client_of(server.uri) as client, ThreadPoolExecutor(1) as others:
        # A backup keeps the lock for collections while it waits for every open transaction.
        others.submit(
            client.admin.command, "secantusAdmin.backupArchive", outputPath="/nowhere/a.tar.gz"
        )
        wait_until(lambda: "open transactions are ended" in caplog.text)
        wait_until(makes_indexes)


def holds(uri: str) -> bool:
    """Whether writes of the days wait."""
    try:
        with pymongo.MongoClient[Any](uri, retryWrites=False, socketTimeoutMS=300) as client:
            client.scratch.days.insert_one({})
    except NetworkTimeout:
        return True
    return False


@pytest.mark.usefixtures("impatient")
def test_a_server_in_which_two_writes_wait_for_each_other_is_started_again(
    server: EmbeddedMongo,
) -> None:
    with (
        pymongo.MongoClient[Any](server.uri, retryWrites=False, socketTimeoutMS=15_000) as client,
        ThreadPoolExecutor(1) as others,
    ):
        days, before = client.scratch.days, server.pid
        days.insert_many([{"_id": 0}, {"_id": 1}])
        with client.start_session() as session:
            session.start_transaction()
            days.update_one({"_id": 0}, {"$set": {"used": 1}}, session=session)
            other = others.submit(days.delete_many, {"_id": 0})
            wait_until(lambda: holds(server.uri))
            with pytest.raises(PyMongoError):
                days.update_one({"_id": 1}, {"$set": {"used": 1}}, session=session)
        wait_until(lambda: server.pid != before and PlainWire().ping(server.uri))

        assert isinstance(other.exception(), PyMongoError)
        with client_of(server.uri) as after:
            after.scratch.days.update_one({"_id": 0}, {"$set": {"used": 2}})
            kept = [after.scratch.days.find_one({"_id": number}) for number in range(2)]
        assert kept == [{"_id": 0, "used": 2}, {"_id": 1}]


@pytest.mark.usefixtures("impatient")
def test_a_server_that_does_nothing_is_started_again(server: EmbeddedMongo) -> None:
    before = server.pid
    assert before is not None
    stop_process(before)

    wait_until(lambda: server.pid != before and PlainWire().ping(server.uri))

    assert server.alive


class Asked:
    """A server that answers when it is let, and what was asked of it."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.probes = 0
        self.ended = 0

    def probe(self) -> None:
        self.probes += 1
        self.answers.wait()

    def end_transactions(self) -> None:
        self.ended += 1


@pytest.fixture
def asked() -> Iterator[Asked]:
    asked = Asked()
    yield asked
    asked.answers.set()


def test_transactions_are_ended_once_and_then_the_server_is_given_up(asked: Asked) -> None:
    watchdog = Watchdog(asked.probe, asked.end_transactions)
    looks = embedded_watch.LOOKS_BETWEEN + embedded_watch.LOOKS_MAX

    kept = [watchdog.look() for _ in range(looks)]

    watchdog.close()
    assert kept == [True] * (looks - 1) + [False]
    wait_until(lambda: (asked.probes, asked.ended) == (1, 1))


def test_a_server_that_answers_late_is_kept(asked: Asked) -> None:
    watchdog = Watchdog(asked.probe, asked.end_transactions)
    for _ in range(embedded_watch.LOOKS_BETWEEN + embedded_watch.LOOKS_MAX - 1):
        watchdog.look()
    asked.answers.set()
    wait_until(lambda: watchdog._asked is not None and watchdog._asked.done())

    kept = [watchdog.look() for _ in range(embedded_watch.LOOKS_MAX)]

    watchdog.close()
    assert all(kept)


def test_no_answer_in_time_counts_on(asked: Asked) -> None:
    def probe() -> None:
        raise TimeoutError

    watchdog = Watchdog(probe, asked.end_transactions)
    kept = []
    for _ in range(embedded_watch.LOOKS_BETWEEN + embedded_watch.LOOKS_MAX):
        kept.append(watchdog.look())
        if watchdog._asked is not None:
            wait_until(watchdog._asked.done)

    watchdog.close()
    assert kept[-1] is False
    assert all(kept[:-1])
