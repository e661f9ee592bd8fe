"""What only a store that speaks to MongoDB promises: types, round trips, reads that are torn."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from typing import Any

import mongomock
import pymongo
import pytest
from bson import Int64, ObjectId
from pymongo.client_session import ClientSession
from pymongo.errors import NetworkTimeout, OperationFailure

from actors.mongo.accounts.marks import move_marks, read_marks
from actors.mongo.accounts.reads import MongoReads
from actors.mongo.accounts.store import MongoStore
from actors.mongo.connection import connect
from actors.protocol.queries import UsageQuery
from actors.protocol.store import StorageUnavailableError
from domain.documents.journal import entry_id
from domain.values import UserId, mark_of, owner_mark
from tests.builders.authors import NOON, Author, views_of, write
from tests.fakes.setups import Counter, Doors, MongoSetup, in_utc

ANN = UserId("ann")
CAT = UserId("65f0a1b2c3d4e5f601234567")


def test_amounts_are_int64_and_ids_are_object_ids(embedded: MongoSetup) -> None:
    author = Author(CAT)
    write(embedded.store, [author.add(), author.use(30), author.add(100, 1, "t-2")])

    (subscription,) = embedded.database.subscriptions.find()
    (day,) = embedded.database.dailycredits.find()
    (usage,) = embedded.database.usages.find()
    amounts = [
        subscription["total_credits"],
        subscription["system_portion"],
        subscription["spendable_credits"],
        *(grant[name] for grant in subscription["grants"] for name in ("amount", "system_portion")),
        *(grant["spendable_credits"] for grant in subscription["grants"]),
        day["daily_credit_limit"],
        day["credits_used"],
        day["credits_rolled_over"],
        usage["credit_amount"],
        usage["token_count"],
    ]
    ids = [
        subscription["_id"],
        subscription["user_id"],
        day["_id"],
        day["subscription_id"],
        day["user_id"],
        usage["_id"],
        usage["subscription_id"],
        usage["user_id"],
        subscription["grants"][0]["grant_id"],
    ]

    assert {type(amount) for amount in amounts} == {Int64}
    assert {type(i) for i in ids} == {ObjectId}


def test_a_mark_that_another_moves_after_it_was_read_is_not_moved_again(
    embedded: MongoSetup,
) -> None:
    author, rival = Author(ANN), MongoStore(embedded.database)
    write(embedded.store, [author.add()])
    entry = author.use(30)
    embedded.store.append([entry])
    database = embedded.database

    with database.client.start_session() as session:
        session.start_transaction()
        assert read_marks(database, [ANN], session) == {ANN: 1}
        rival.write_views(views_of(entry))
        with pytest.raises(OperationFailure) as refused:
            move_marks(database, views_of(entry), session)

    assert refused.value.has_error_label("TransientTransactionError")
    assert read_marks(database, [ANN]) == {ANN: 2}


def test_1500_users_load_in_a_bounded_number_of_round_trips(
    embedded: MongoSetup, mongo_uri: str
) -> None:
    authors = [Author(f"user-{number}") for number in range(1500)]
    write(embedded.store, [author.add() for author in authors])
    embedded.store.append([author.use(1) for author in islice(authors, 0, None, 3)])
    counter = Counter()
    with pymongo.MongoClient[dict[str, Any]](mongo_uri, event_listeners=[counter]) as client:
        store = MongoStore(in_utc(client, embedded.database.name))

        stored = store.load([author.account.user_id for author in authors], NOON)

    assert [Author.of(s).account for s in stored] == [author.account for author in authors]
    parts = 2  # 1500 ids are asked for in two parts.
    trips = len([name for name in counter.names if name in ("find", "getMore")])
    assert trips <= 2 * parts * 4 + 10  # Four collections, and a second round of 500 entries.


# --- a view that is ahead of its mark was moved while it was read -------------------------


def moved_while_read(
    setup: MongoSetup, collection: str, author: Author, times: int
) -> tuple[MongoStore, list[int]]:
    """Return a store whose loads meet a writer: views move before `collection` is read."""
    moves: list[int] = []

    def move() -> None:
        if len(moves) < times:
            moves.append(author.account.seq + 1)
            write(setup.store, [author.use(1)])

    return MongoStore(Doors(setup.database, collection, move)), moves  # type: ignore[arg-type]


@pytest.mark.parametrize("collection", ["subscriptions", "dailycredits", "allotment_journal"])
def test_views_that_move_while_they_are_read_are_read_again(
    mongo: MongoSetup, collection: str
) -> None:
    author = Author(CAT)
    write(mongo.store, [author.add(), author.use(30)])
    store, moves = moved_while_read(mongo, collection, author, times=1)

    (stored,) = store.load([CAT], NOON)

    assert moves == [3]
    assert Author.of(stored).account == author.account


def test_views_that_move_at_every_look_are_read_at_one_instant(embedded: MongoSetup) -> None:
    author = Author(CAT)
    write(embedded.store, [author.add(), author.use(30)])
    store, moves = moved_while_read(embedded, "dailycredits", author, times=100)

    (stored,) = store.load([CAT], NOON)

    assert len(moves) >= 3
    used = Author.of(stored).account.seq - 2 + 30
    day = Author.of(stored).account.subscriptions[0].day
    assert day is not None
    assert day.used == used


def test_a_copied_document_ahead_of_its_mark_is_still_answered(mongo: MongoSetup) -> None:
    author = Author(ANN)
    write(mongo.store, [author.add(), author.add(10, 1, "t-2")])
    copy = dict(mongo.document("subscriptions"), _id=str(ObjectId()), user_id=CAT)

    mongo.insert("subscriptions", **copy)

    (stored,) = mongo.store.load([CAT], NOON)
    current = Author.of(stored).account.current(NOON)
    assert current is not None
    assert current.total == 3010


# --- a server that is away ----------------------------------------------------------------


def test_a_server_that_is_away_is_unavailable_for_reads_and_writes(embedded: MongoSetup) -> None:
    author = Author(ANN)
    entry = author.add()
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
        "mongodb://127.0.0.1:1/", serverSelectionTimeoutMS=20
    )
    with client:
        store, reads = MongoStore(in_utc(client, "away")), MongoReads(in_utc(client, "away"))
        calls: list[Callable[[], object]] = [
            lambda: store.load([ANN], NOON),
            lambda: store.append([entry]),
            lambda: store.append([entry, author.use(1)]),
            lambda: store.write_views(views_of(entry)),
            lambda: store.mark_clean("shard-000", NOON),
            lambda: reads.usage_sums(ANN, (NOON, NOON), "UTC"),
        ]

        with ThreadPoolExecutor(len(calls)) as pool:  # Some wait as long as an election may take.
            ended = [asked.exception() for asked in [pool.submit(call) for call in calls]]

    assert [type(error) for error in ended] == [StorageUnavailableError] * len(calls)


# --- plain mongomock carries the half that reads ------------------------------------------


def test_documents_written_by_the_embedded_server_read_the_same_in_mongomock(
    embedded: MongoSetup,
) -> None:
    author = Author(CAT)
    write(embedded.store, [author.add(), author.use(30), author.use(4)])
    embedded.store.append(author.use_often(20))
    embedded.store.mark_clean("shard-000", NOON)
    database: Any = mongomock.MongoClient(tz_aware=True)["copy"]
    for name in (
        "allotment_accounts",
        "subscriptions",
        "dailycredits",
        "usages",
        "allotment_journal",
        "allotment_shards",
    ):
        for document in embedded.database[name].find():
            database[name].insert_one(document)
    store, reads = MongoStore(database), MongoReads(database)
    everything = (NOON - timedelta(days=9), NOON + timedelta(days=9))
    page = UsageQuery(CAT, *everything, 1, None)

    assert store.load([CAT, ANN], NOON) == embedded.store.load([CAT, ANN], NOON)
    assert store.find_entries([(CAT, "key-2")]) == embedded.store.find_entries([(CAT, "key-2")])
    assert store.appended_since(*everything) == {CAT}
    assert store.clean_until() == NOON
    assert reads.usage_page(page) == embedded.reads.usage_page(page)
    assert len(reads.subscriptions_of(CAT)) == 1


def test_a_killed_shards_open_transaction_holds_up_its_successor_no_longer(
    embedded: MongoSetup,
) -> None:
    killed, successor = MongoStore(embedded.database), MongoStore(embedded.database)
    entry = Author(ANN).add()
    document = {"_id": entry_id(ANN, entry.seq)}
    killed.take_over("shard-000")
    session = embedded.database.client.start_session()
    killed._transactions.note(session)
    session.start_transaction()
    embedded.database.allotment_journal.insert_one(document, session=session)

    successor.take_over("shard-000")
    successor.append([entry])

    assert successor.load([ANN], NOON)[0].entries == [entry]
    with pytest.raises(OperationFailure):
        session.commit_transaction()
    session.end_session()


def test_sessions_of_one_who_lived_on_beside_a_rival_are_ended_after_its_death(
    embedded: MongoSetup, mongo_uri: str
) -> None:
    lasting = MongoStore(connect(mongo_uri, embedded.database.name))
    rival, successor = MongoStore(embedded.database), MongoStore(embedded.database)
    entry = Author(ANN).add()
    document = {"_id": entry_id(ANN, entry.seq)}
    lasting.take_over("shard-000")
    lasting.in_transaction(lambda session: None)
    rival.take_over("shard-000")
    session = lasting._database.client.start_session()
    lasting._transactions.note(
        session
    )  # It is the session of the transaction before, and noted already.
    session.start_transaction()
    lasting._database.allotment_journal.insert_one(document, session=session)

    successor.take_over("shard-000")
    successor.append([entry])

    assert successor.load([ANN], NOON)[0].entries == [entry]
    session._transaction.reset()  # It has ended on the server.
    lasting._database.client.close()


def test_what_a_shard_was_about_to_append_may_land_still_where_it_has_a_successor(
    embedded: MongoSetup,
) -> None:
    first, successor = MongoStore(embedded.database), MongoStore(embedded.database)
    first.take_over("shard-000")
    assert first.let_go(ANN) == math.inf

    first.append([Author(ANN).add()])
    successor.take_over("shard-000")

    assert successor.let_go(ANN) < math.inf


def test_a_day_that_is_made_carries_the_mark_of_its_user(embedded: MongoSetup) -> None:
    write(embedded.store, [Author(ANN).add()])

    day, subscription = embedded.document("dailycredits"), embedded.document("subscriptions")
    assert mark_of(day["_id"]) == mark_of(subscription["_id"]) == owner_mark(ANN)


def test_a_day_that_was_deleted_is_made_again(embedded: MongoSetup) -> None:
    author = Author(ANN)
    write(embedded.store, [author.add(), author.use(4)])
    embedded.remove("dailycredits", user_id=ANN)

    write(embedded.store, [author.use(5)])
    write(embedded.store, [author.use(6)])

    assert embedded.document("dailycredits")["credits_used"] == 11


def test_a_day_of_a_subscription_that_was_removed_is_written(embedded: MongoSetup) -> None:
    author = Author(ANN)
    write(embedded.store, [author.add(), author.use(4)])
    embedded.remove("dailycredits", user_id=ANN)
    embedded.remove("subscriptions", user_id=ANN)

    write(embedded.store, [author.use(5)])
    embedded.remove("dailycredits", user_id=ANN)
    write(embedded.store, [author.use(5)])

    assert embedded.document("dailycredits")["credits_used"] == 5


def test_a_transaction_whose_end_the_server_did_not_hear_holds_nobody_up(
    embedded: MongoSetup,
) -> None:
    store = MongoStore(embedded.database)
    author = Author(ANN)
    write(embedded.store, [author.add(), author.use(4)])
    lost: list[ClientSession] = []

    def lose(session: ClientSession) -> None:
        embedded.database.dailycredits.update_many({}, {"$set": {"x": 1}}, session=session)
        lost.append(session)
        session._server_session.mark_dirty()
        session._transaction.reset()  # Its end is not sent, as where the connection is lost.
        raise NetworkTimeout("the answer did not come in time")

    with pytest.raises(NetworkTimeout):
        store.in_transaction(lose)
    write(store, [author.use(5)])

    assert embedded.document("dailycredits")["credits_used"] == 9
    assert "x" not in embedded.document("dailycredits")
