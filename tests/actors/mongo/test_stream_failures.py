"""What becomes of the change stream where a real MongoDB refuses it, or takes long."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest

from actors.mongo import changes as changes_module
from actors.mongo.changes import MongoChanges
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents
from actors.protocol.directory import even
from actors.protocol.store import StorageUnavailableError
from actors.sync import sync as sync_module
from actors.sync.changes import Beat, HistoryLostError, Position, StreamedChange
from actors.sync.sync import Sync
from tests.fakes.memory_changes import NotingShards
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Clock, in_loop, until
from tests.wire.answers import NOT_RESUMABLE, RESUMABLE, refusal
from tests.wire.proxy import Answer, Command, Delay, Proxy

LONG_SECONDS = 60.0  # Longer than any timeout; the end of a test cuts it short.
TAKES_MAX = 10


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a resume not as long as for a real one."""
    monkeypatch.setattr(changes_module, "RESUME_SECONDS_MAX", 2.0)


@pytest.fixture
def database(proxy: Proxy, embedded: MongoSetup) -> Iterator[Documents]:
    database = connect(proxy.uri, embedded.database.name, socket_seconds=None)
    yield database
    database.client.close()


def resumes(command: Command) -> bool:
    return "resumeAfter" in command["pipeline"][0].get("$changeStream", {})


def position_of(source: MongoChanges) -> Position:
    """Return a position after the first beat."""
    source.open(None)
    source.beat("me", 1.0, None)
    for _ in range(TAKES_MAX):
        taken = source.take()
        if taken:
            source.close()
            return Position(taken[-1].token, 1)
    raise AssertionError("no beat came")


@pytest.mark.parametrize("code", [50, 175, 237, 391, 462, 43, 189, 11600])
def test_a_stream_that_the_server_ended_goes_on_later(
    proxy: Proxy, database: Documents, code: int
) -> None:
    proxy.on("aggregate", Answer(refusal(code)), times=None)

    with pytest.raises(StorageUnavailableError):
        MongoChanges(database).open(None)


def test_labels_say_whether_a_stream_goes_on(proxy: Proxy, database: Documents) -> None:
    source = MongoChanges(database)
    position = position_of(source)
    for code, label, expected in (
        (11602, RESUMABLE, StorageUnavailableError),
        (280, NOT_RESUMABLE, HistoryLostError),
        (286, NOT_RESUMABLE, HistoryLostError),
    ):
        proxy.on("aggregate", Answer(refusal(code, label)), times=None, where=resumes)
        with pytest.raises(expected):
            source.open(position)
        proxy.forget_rules()


@pytest.mark.parametrize("action", [Delay(LONG_SECONDS), Answer(refusal(50))])
def test_a_resume_that_takes_longer_than_any_timeout_leads_to_one_resync(
    proxy: Proxy, database: Documents, monkeypatch: pytest.MonkeyPatch, action: Delay
) -> None:
    source, shards = MongoChanges(database), NotingShards()
    position = position_of(source)
    source.beat("me", 2.0, position)
    monkeypatch.setattr(changes_module, "RESUME_SECONDS_MAX", 0.3)
    monkeypatch.setattr(sync_module, "RETRY_SECONDS", 0.01)
    proxy.on("aggregate", action, times=None, where=resumes)
    sync = Sync(source, shards, lambda: even(1, 1), clock=Clock(), monotonic=time.monotonic)

    @in_loop
    async def follow() -> None:
        loop = asyncio.create_task(sync.run())
        await until(lambda: len(shards.ages(0)) > 2)
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop

    follow()
    source.close()
    assert (sync.report().resyncs, shards.forgot_all(0)) == (1, 1)


def test_an_answer_of_the_stream_may_take_longer_than_any_other(
    proxy: Proxy, database: Documents, embedded: MongoSetup
) -> None:
    hasty = connect(proxy.uri, embedded.database.name, socket_seconds=0.5)
    source = MongoChanges(hasty, database)
    source.open(None)
    slow = proxy.on("getMore", Delay(1.0))
    source.beat("me", 1.0, None)

    taken: list[StreamedChange] = []
    while not taken:
        taken += source.take()

    assert [change.beat for change in taken] == [Beat(1, "me", 1.0)]
    assert slow.met == 1
    source.close()
    hasty.client.close()
