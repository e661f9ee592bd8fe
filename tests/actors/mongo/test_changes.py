"""The change stream: others' writes and our own beats, and nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId

from actors.mongo.changes import MongoChanges
from actors.sync.changes import HistoryLostError, Position
from domain.values import UserId
from tests.builders.authors import NOON, Author, write
from tests.builders.changes import subscription, take_until, up_to_a_beat, users
from tests.fakes.setups import MongoSetup

ANN = UserId("ann")
CAT = UserId("65f0a1b2c3d4e5f601234567")


@pytest.fixture
def changes(embedded: MongoSetup) -> Iterator[MongoChanges]:
    """Return an open stream."""
    source = MongoChanges(embedded.database)
    source.open(None)
    yield source
    source.close()


def test_a_beat_comes_back_with_its_number_and_sender(changes: MongoChanges) -> None:
    for sent in (1.5, 2.5, 3.5):
        changes.beat("me", sent, None)

    taken = take_until(changes, lambda seen: len(seen) == 3)

    assert [change.beat for change in taken] == [(1, "me", 1.5), (2, "me", 2.5), (3, "me", 3.5)]


def test_our_own_writes_do_not_come_back(changes: MongoChanges, embedded: MongoSetup) -> None:
    author = Author(ANN)
    write(embedded.store, [author.add(), author.use(30)])
    write(embedded.store, [author.add(100, 1, "t-2"), author.use(5)])

    assert up_to_a_beat(changes) == []


@pytest.mark.parametrize("user_id", [ANN, CAT])
def test_a_subscription_of_another_program_names_its_user(
    changes: MongoChanges, embedded: MongoSetup, user_id: UserId
) -> None:
    stored = ObjectId(user_id) if user_id == CAT else user_id
    document = subscription(stored)
    embedded.database.subscriptions.insert_one(document)
    embedded.database.subscriptions.update_one({"_id": document["_id"]}, {"$set": {"x": 1}})

    taken = up_to_a_beat(changes)

    assert users(taken) == [user_id, user_id]
    assert [change.document_id for change in taken] == [None, None]


def test_an_update_of_a_document_of_ours_names_its_user(
    changes: MongoChanges, embedded: MongoSetup
) -> None:
    write(embedded.store, [Author(ANN).add()])
    embedded.database.subscriptions.update_many({}, {"$set": {"status": "paused"}})
    embedded.database.dailycredits.update_many({}, {"$inc": {"credits_used": 1}})

    assert users(up_to_a_beat(changes)) == [ANN, ANN]


def test_a_document_of_ours_that_is_deleted_and_restored_names_its_user(
    changes: MongoChanges, embedded: MongoSetup
) -> None:
    author = Author(ANN)
    write(embedded.store, [author.add()])
    write(embedded.store, [author.use(4), author.add(10, 10, "t-2")])
    for name in ("subscriptions", "dailycredits"):
        (document,) = embedded.database[name].find()
        embedded.database[name].delete_one({"_id": document["_id"]})
        embedded.database[name].insert_one(document)

    assert users(up_to_a_beat(changes)) == [ANN, ANN]


def test_a_replacement_that_keeps_our_revision_is_another_programs(
    changes: MongoChanges, embedded: MongoSetup
) -> None:
    write(embedded.store, [Author(ANN).add()])
    (document,) = embedded.database.subscriptions.find()
    embedded.database.subscriptions.replace_one({"_id": document["_id"]}, document | {"x": 1})

    (change,) = up_to_a_beat(changes)

    assert change.users == (ANN,)
    assert change.document_id == str(document["_id"])


def test_a_day_without_user_belongs_to_whom_its_subscription_belongs_to(
    changes: MongoChanges, embedded: MongoSetup
) -> None:
    document = subscription(ObjectId(CAT))
    embedded.database.subscriptions.insert_one(document)
    day = {"subscription_id": document["_id"], "date": NOON.replace(hour=0), "credits_used": 7.0}
    embedded.database.dailycredits.insert_one(day)

    assert users(up_to_a_beat(changes)) == [CAT, CAT]


def test_a_day_is_told_in_whatever_type_it_names_its_subscription(
    changes: MongoChanges, embedded: MongoSetup
) -> None:
    document = subscription("ann")
    embedded.database.subscriptions.insert_one(document)
    day = {"subscription_id": str(document["_id"]), "date": NOON, "credits_used": 7.0}
    embedded.database.dailycredits.insert_one(day)
    embedded.database.dailycredits.update_one({}, {"$set": {"credits_used": 8.0}})

    assert users(up_to_a_beat(changes)) == [ANN] * 3


def test_a_day_of_no_subscription_is_nobodys_and_is_named(
    changes: MongoChanges, embedded: MongoSetup
) -> None:
    for nowhere in (ObjectId(), None, 7, {"a": [1]}, [1, 2]):
        embedded.database.dailycredits.insert_one({"subscription_id": nowhere, "date": NOON})

    taken = up_to_a_beat(changes)

    assert users(taken) == []
    reasons = [change.unreadable or "" for change in taken]
    assert ["names no subscription" in reason for reason in reasons] == [True] * 5


@pytest.mark.parametrize("collection", ["subscriptions", "dailycredits"])
def test_of_a_deleted_document_its_id_is_told(
    changes: MongoChanges, embedded: MongoSetup, collection: str
) -> None:
    write(embedded.store, [Author(ANN).add()])
    (document,) = embedded.database[collection].find()
    embedded.database[collection].delete_one({"_id": document["_id"]})

    (change,) = up_to_a_beat(changes)

    assert (change.users, change.document_id) == ((), str(document["_id"]))


@pytest.mark.parametrize("update", [{"$set": {"user_id": "bob"}}, {"$unset": {"user_id": ""}}])
def test_where_the_user_was_changed_the_former_one_is_told_by_the_documents_id(
    changes: MongoChanges, embedded: MongoSetup, update: dict[str, Any]
) -> None:
    document = subscription("ann")
    embedded.database.subscriptions.insert_one(document)
    embedded.database.subscriptions.update_one({"_id": document["_id"]}, update)

    *_, change = up_to_a_beat(changes)

    assert change.document_id == str(document["_id"])


@pytest.mark.parametrize("user_id", [None, 7, 2.5, ["ann"], {"id": "ann"}, "a b", "", "x" * 129])
def test_a_document_without_a_user_of_ours_is_named_and_does_not_stop_the_stream(
    changes: MongoChanges, embedded: MongoSetup, user_id: Any
) -> None:
    document = subscription(user_id)
    embedded.database.subscriptions.insert_one(document)
    embedded.database.subscriptions.insert_one(subscription("bob"))

    strange, following = up_to_a_beat(changes)

    assert strange.users == ()
    assert strange.unreadable is not None
    assert str(document["_id"]) in strange.unreadable
    assert following.users == ("bob",)


def test_the_stream_goes_on_after_a_stored_position(embedded: MongoSetup) -> None:
    source = MongoChanges(embedded.database)
    source.open(None)
    source.beat("me", 1.0, None)
    (change,) = take_until(source, lambda seen: len(seen) == 1)
    source.close()
    embedded.database.subscriptions.insert_one(subscription("ann"))
    source.beat("me", 2.0, Position(change.token, 1))

    later = MongoChanges(embedded.database)
    later.open(later.stored())

    taken = take_until(later, lambda seen: len(seen) == 2)
    later.close()
    assert users(taken) == [ANN]
    assert taken[-1].beat == (2, "me", 2.0)


@pytest.mark.parametrize("token", [{"_data": "no token"}, {"_data": 7}, {}, {"a": 1}])
def test_a_token_that_makes_no_sense_is_lost_history(
    embedded: MongoSetup, token: dict[str, Any]
) -> None:
    source = MongoChanges(embedded.database)

    with pytest.raises(HistoryLostError):
        source.open(Position(token, 1))


@pytest.mark.parametrize("stored", [{"token": "text"}, {"token": {"_data": "00"}}, {"token": 7}])
def test_a_stored_position_that_is_none_is_lost_history(
    embedded: MongoSetup, stored: dict[str, Any]
) -> None:
    embedded.database.allotment_sync_state.insert_one({"_id": "position", **stored})

    with pytest.raises(HistoryLostError):
        MongoChanges(embedded.database).stored()


@pytest.mark.parametrize("collection", ["subscriptions", "dailycredits"])
def test_a_dropped_collection_is_lost_history(
    changes: MongoChanges, embedded: MongoSetup, collection: str
) -> None:
    embedded.database[collection].drop()

    with pytest.raises(HistoryLostError):
        take_until(changes, lambda _: False)


def test_a_renamed_collection_is_lost_history(changes: MongoChanges, embedded: MongoSetup) -> None:
    embedded.database.dailycredits.rename("elsewhere")

    with pytest.raises(HistoryLostError):
        take_until(changes, lambda _: False)


def test_a_dropped_database_is_lost_history(changes: MongoChanges, embedded: MongoSetup) -> None:
    embedded.database.client.drop_database(embedded.database.name)

    with pytest.raises(HistoryLostError):
        take_until(changes, lambda _: False)


def test_beats_that_somebody_else_changed_are_lost_history(
    changes: MongoChanges, embedded: MongoSetup
) -> None:
    changes.beat("me", 1.0, None)
    embedded.database.allotment_sync_state.delete_many({})

    with pytest.raises(HistoryLostError):
        take_until(changes, lambda _: False)
