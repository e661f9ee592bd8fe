"""A shard's process that was stopped, and wakes up beside its successor, says and writes nothing."""

import asyncio
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from actors.mongo.accounts.store import MongoStore
from actors.mongo.directory import MongoDirectory
from actors.protocol.calls import Call, Envelope, Outcome, Reply
from actors.protocol.directory import even
from actors.remote.shard import ShardActor
from actors.routing.wire import Connection, Endpoint
from actors.settings import Settings
from actors.shard import lease
from domain.values import UserId
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import charge_call, credit_call, in_loop
from tests.patience import PATIENCE_SECONDS
from tests.stopping import stop_process

ANN = UserId("ann")
LEASE_SECONDS = 2.0  # Instead of the service's: who waits for it to lapse waits less.
START_SECONDS_MAX = PATIENCE_SECONDS


class Incarnation(NamedTuple):
    """A shard's process, and where it answers."""

    process: BaseProcess
    endpoint: Endpoint


Start = Callable[[], Incarnation]


def run_shard(uri: str, database: str, told: Pipe) -> None:
    """Be a shard's process until killed: its actor as it is shipped, without Ray around it."""
    lease.LEASE_SECONDS = LEASE_SECONDS
    settings = Settings(mongo_uri=SecretStr(uri), mongo_db=database, _env_file=None)

    async def live() -> None:
        shard = ShardActor.__new__(ShardActor)
        await shard.__init__(settings, 0)  # type: ignore[misc]
        await shard.drain()  # It has begun.
        told.send(await shard.endpoint())
        await asyncio.Event().wait()

    asyncio.run(live())


@pytest.fixture
def start(embedded: MongoSetup, mongo_uri: str) -> Iterator[Start]:
    """Return what starts one incarnation after another of the only shard."""
    MongoDirectory(embedded.database).publish(even(1, 1))
    MongoStore(embedded.database).keep_marks(["shard-000"])
    spawning, started = multiprocessing.get_context("spawn"), []

    def start_one() -> Incarnation:
        heard, told = spawning.Pipe(duplex=False)
        arguments = (mongo_uri, embedded.database.name, told)
        process = spawning.Process(target=run_shard, args=arguments, daemon=True)
        process.start()
        started.append(process)
        assert heard.poll(START_SECONDS_MAX), "the shard did not start"
        return Incarnation(process, heard.recv())

    yield start_one
    for process in started:
        process.kill()
        process.join()


async def ask(connection: Connection, *calls: Call, status_of: UserId = ANN) -> list[Reply]:
    """Return the replies to calls, and to a read after them."""
    replies: list[Reply] = pickle.loads(
        await connection.ask(pickle.dumps(Envelope(1, calls, (status_of,))))
    )
    return replies


@in_loop
async def test_a_paused_shard_that_wakes_up_after_its_successor_answers_and_lands_nothing(
    start: Start, embedded: MongoSetup
) -> None:
    paused = await asyncio.to_thread(start)
    assert paused.process.pid is not None
    to_paused = await Connection.open(paused.endpoint)
    await ask(to_paused, credit_call(ANN, 100), charge_call(ANN, 10, "before"))

    stop_process(paused.process.pid)
    late = asyncio.create_task(ask(to_paused, charge_call(ANN, 1, "late")))
    successor = await asyncio.to_thread(start)
    to_successor = await Connection.open(successor.endpoint)
    replies = await ask(to_successor, charge_call(ANN, 20, "meanwhile"))
    os.kill(paused.process.pid, signal.SIGCONT)
    with pytest.raises(ConnectionError):
        await late
    await asyncio.to_thread(paused.process.join, START_SECONDS_MAX)
    (now,) = await ask(to_successor)
    await to_successor.close()

    assert replies[0].outcome is Outcome.DONE
    assert paused.process.exitcode == 1
    assert now.body is not None
    assert b'"credits_used":30,' in now.body
    keys = [entry["key"] for entry in embedded.documents("allotment_journal")]
    assert keys == ["credit", "before", "meanwhile"]
