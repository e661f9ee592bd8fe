"""A primary that was deposed and does not know it: nothing older than what was told is read there."""

from collections.abc import Iterator
from typing import Any

import pytest

from actors.mongo.accounts.leases import MongoLeases
from actors.mongo.accounts.store import MongoStore
from actors.mongo.changes import MongoChanges
from actors.mongo.connection import connect
from actors.mongo.directory import MongoDirectory
from actors.mongo.embedded_wire import Documents
from actors.protocol.calls import Outcome
from actors.protocol.changes import Changes
from actors.protocol.directory import even
from actors.protocol.store import AppendInDoubtError, Moment, StorageUnavailableError
from actors.sync.changes import StreamedChange
from domain.values import UserId
from tests.builders.authors import NOON, Author, write
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import ask_one, charge_call, in_loop, running, status
from tests.wire.cut_off import CutOffPrimary
from tests.wire.replica_set import ReplicaSet

ANN, BOB = UserId("ann"), UserId("bob")


@pytest.fixture
def written(embedded: MongoSetup) -> MongoSetup:
    """Return a database with credits of Ann's and Bob's."""
    entries = [Author(ANN).add(), Author(BOB).add()]
    write(embedded.store, entries)
    return embedded


@pytest.fixture
def changes(written: MongoSetup) -> Iterator[MongoChanges]:
    """Yield a stream of the new primary's."""
    source = MongoChanges(written.database)
    source.open(None)
    yield source
    source.close()


class Partition:
    """A shard's store that reaches nobody but the deposed primary, and what the others do."""

    def __init__(self, members: ReplicaSet, uri: str, setup: MongoSetup) -> None:
        self.setup = setup
        self.deposed = CutOffPrimary(members, 0, uri)
        self.database: Documents = connect(self.deposed.uri, setup.database.name)
        self.store = MongoStore(self.database)
        self.store.take_over("shard-000")
        self.store.load([BOB], NOON)
        self.deposed.depose(setup.database.name)

    def shorten(self) -> None:
        """End Ann's subscription, as another program does at the new primary."""
        self.setup.database.subscriptions.update_many(
            {"user_id": ANN}, {"$set": {"status": "cancelled"}}
        )


@pytest.fixture
def partition(written: MongoSetup, replica_set: ReplicaSet, mongo_uri: str) -> Iterator[Partition]:
    parted = Partition(replica_set, mongo_uri, written)
    yield parted
    parted.database.client.close()
    parted.deposed.join_again()


def told(source: MongoChanges) -> StreamedChange:
    """Return the next change of another program."""
    while True:
        for change in source.take():
            if change.users:
                return change


def state(store: MongoStore) -> list[Any]:
    return [s["status"] for s in store.load([ANN], NOON)[0].subscriptions]


def test_what_was_told_is_not_read_older(partition: Partition, changes: MongoChanges) -> None:
    partition.shorten()
    change = told(changes)
    assert state(partition.store) == ["active"]  # It is the state that a majority had.
    assert change.moment is not None

    partition.store.hear(change.moment)

    with pytest.raises(StorageUnavailableError):
        state(partition.store)


def test_who_reads_all_again_reads_nothing_from_before_the_stream(
    partition: Partition, written: MongoSetup
) -> None:
    partition.shorten()
    source = MongoChanges(written.database)
    source.open(None)
    moment = source.moment()
    source.close()
    assert moment is not None

    partition.store.hear(moment)

    with pytest.raises(StorageUnavailableError):
        state(partition.store)


def test_what_was_told_is_read_where_it_is(written: MongoSetup, changes: MongoChanges) -> None:
    written.database.subscriptions.update_many({"user_id": ANN}, {"$set": {"status": "cancelled"}})
    change, now = told(changes), changes.moment()
    assert change.moment is not None
    assert now is not None

    for moment in (change.moment, now):
        written.store.hear(moment)
        (stored, _) = written.store.load([ANN, BOB], NOON)
        assert [s["status"] for s in stored.subscriptions] == ["cancelled"]


def test_nothing_is_appended_or_confirmed_there(partition: Partition) -> None:
    author = Author.of(partition.store.load([ANN], NOON)[0])

    with pytest.raises(AppendInDoubtError):
        partition.store.append([author.use(1)])
    with pytest.raises(StorageUnavailableError):  # In doubt: its fate is read from a majority only.
        partition.store.load([ANN], NOON)
    with pytest.raises(StorageUnavailableError):
        MongoLeases(partition.database).epoch("shard-000")
    successor = MongoStore(partition.database)
    successor.take_over("shard-001")
    with pytest.raises(StorageUnavailableError):
        successor.load([ANN], NOON)


@in_loop
async def test_a_shard_there_answers_nothing_old_of_whom_it_was_told(
    partition: Partition, changes: MongoChanges
) -> None:
    async with running(partition.store, views=False) as shard:
        for user_id in (ANN, BOB):
            assert (await status(shard, user_id)).remaining_credits == 90
        partition.shorten()
        moment = told(changes).moment
        shard.following.follow(Changes(shard.table.version, (ANN,), moment=moment))

        ann = await ask_one(shard, charge_call(ANN, 50, "late"))

        assert ann.outcome is Outcome.UNAVAILABLE
        assert (await status(shard, BOB)).remaining_credits == 90  # Of Bob nothing has changed.


def test_who_has_seen_a_table_reads_nothing_from_before_it(
    partition: Partition, written: MongoSetup
) -> None:
    partition.shorten()
    table = MongoDirectory(written.database)
    assert table.publish(even(1, 1))
    seen = table.see()
    assert seen is not None
    assert seen.moment is not None
    assert state(partition.store) == ["active"]

    partition.store.hear(seen.moment)

    with pytest.raises(StorageUnavailableError):
        state(partition.store)


def test_who_starts_there_takes_no_old_table(partition: Partition, written: MongoSetup) -> None:
    assert MongoDirectory(written.database).publish(even(1, 1))
    table = MongoDirectory(partition.database)
    assert table.see() is None  # It is what a majority had.

    partition.store.take_over("shard-000")

    with pytest.raises(StorageUnavailableError):
        table.see(partition.store.causality)


def test_who_starts_elsewhere_takes_the_newest_table(written: MongoSetup) -> None:
    table = MongoDirectory(written.database)
    assert table.publish(even(1, 1))
    assert isinstance(written.store, MongoStore)
    written.store.take_over("shard-000")

    seen = table.see(written.store.causality)

    assert seen is not None
    assert seen.table == even(1, 1)


def test_the_newest_moment_is_kept(written: MongoSetup) -> None:
    store = written.store
    later: Moment = (2_000_000_000, 1)
    for moment in (later, (1, 1)):
        store.hear(moment)
    assert isinstance(store, MongoStore)
    with store.causality.begun_session() as session:
        time = session.operation_time
    assert time is not None
    assert (time.time, time.inc) == later
