"""The first start in a database that belongs to an application, too; and every later one."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pymongo
import pytest
from bson import ObjectId
from pymongo import IndexModel
from pymongo.errors import OperationFailure

from actors.mongo import indexes
from actors.mongo.connection import Documents, UnsuitableDatabaseError, connect
from actors.mongo.preparation import prepare
from actors.mongo.store import MongoStore
from actors.mongo.stored_format import FORMAT, NOT_OURS, PREFIX, check_format
from domain.values import UserId
from tests.actors.authors import Author
from tests.actors.setups import Counter, in_utc
from tests.domain.ledger import NOON
from tests.service.mongoose import subscription_document

NUMBERS = count()
ANN = UserId("ann")
OURS = [name for name in indexes.INDEXES if name.startswith(PREFIX)]


@pytest.fixture
def database(mongo_uri: str) -> Iterator[Documents]:
    """Yield a database that nothing of ours has seen."""
    database = connect(mongo_uri, f"theirs-{next(NUMBERS)}")
    yield database
    database.client.drop_database(database.name)
    database.client.close()


def everything(database: Documents) -> dict[str, list[Any]]:
    """Return all documents and indexes, by collection."""
    return {
        name: [
            sorted(database[name].find(), key=lambda d: str(d["_id"])),
            sorted(database[name].index_information()),
        ]
        for name in database.list_collection_names()
    }


def refusal(database: Documents) -> str:
    """Return why the database cannot be prepared."""
    with pytest.raises(UnsuitableDatabaseError) as caught:
        prepare(database)
    return str(caught.value)


# --- beside an application ----------------------------------------------------------------


def application(database: Documents) -> dict[str, list[Any]]:
    """Make what another program keeps in its database, and return all that is not shared."""
    database.accounts.insert_many([{"_id": i, "iban": f"DE{i}"} for i in range(20)])
    database.accounts.create_index("iban", unique=True)
    database.events.insert_many([{"type": "login", "at": NOON} for _ in range(20)])
    database.jobs.insert_one({"_id": "nightly", "revision": 3})
    database.create_collection("prices")
    theirs = everything(database)
    database.subscriptions.insert_many([subscription_document(ObjectId()) for _ in range(50)])
    database.subscriptions.create_index("user_id", name="by_user")
    database.subscriptions.create_index("plan", name="allotment of plans")
    return theirs


def test_the_collections_and_indexes_of_an_application_are_left_alone(database: Documents) -> None:
    theirs = application(database)
    subscriptions = everything(database)["subscriptions"]

    prepare(database)

    now = everything(database)
    assert {name: now[name] for name in theirs} == theirs
    assert now["subscriptions"][0] == subscriptions[0]
    assert set(subscriptions[1]) < set(now["subscriptions"][1])


def test_what_is_made_on_collections_that_were_there_is_told(database: Documents) -> None:
    application(database)
    first: list[str] = []
    second: list[str] = []

    prepare(database, first.append)
    prepare(database, second.append)

    (told,) = first
    assert told.startswith("indexes on subscriptions: ")
    assert "allotment_status_end_date" in told
    assert "allotment_user_id" not in told  # Theirs has the same keys.
    assert second == []


def test_indexes_are_made_with_one_command_a_collection(
    database: Documents, mongo_uri: str
) -> None:
    application(database)
    counter = Counter()

    with pymongo.MongoClient(mongo_uri, retryWrites=False, event_listeners=[counter]) as client:
        prepare(in_utc(client, database.name))

    with_indexes = [
        n for n in (*indexes.INDEXES, *indexes.EMBEDDED_INDEXES) if indexes.INDEXES.get(n, 1)
    ]
    assert counter.names.count("createIndexes") == len(set(with_indexes))


def test_an_index_of_the_same_keys_and_other_rules_is_no_substitute(database: Documents) -> None:
    database.usages.create_index([("user_id", 1), ("timestamp", 1)], sparse=True, name="theirs")

    prepare(database)

    assert {"theirs", "allotment_user_id_timestamp"} <= set(database.usages.index_information())


def test_a_rule_of_another_program_that_may_refuse_our_writes_is_told(database: Documents) -> None:
    database.subscriptions.create_index("user_id", unique=True)
    told: list[str] = []

    prepare(database, told.append)

    assert "subscriptions has the index user_id_1, which may refuse what Allotment writes" in told


def test_what_does_not_let_an_index_be_made_is_named(database: Documents) -> None:
    day = {"subscription_id": ObjectId(), "date": NOON}
    database.dailycredits.insert_many([{**day}, {**day}])

    sentence = refusal(database)

    assert "dailycredits cannot have the indexes allotment_subscription_id_date" in sentence
    assert "dup key" in sentence


def test_a_name_of_ours_that_another_program_uses_is_named(database: Documents) -> None:
    database.usages.create_index("model_used", name="allotment_user_id_timestamp")

    assert "usages cannot have the indexes allotment_user_id_timestamp" in refusal(database)


class SaysItIsThere:
    """A database whose server knows an index under another name, and refuses ours for it."""

    def __init__(self, database: Documents, keys: list[tuple[str, int]]) -> None:
        self._database = database
        self._keys = keys

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def __getitem__(self, name: str) -> Any:
        return RefusingCollection(self._database[name], dict(self._keys))


class RefusingCollection:
    def __init__(self, collection: Any, keys: dict[str, int]) -> None:
        self._collection = collection
        self._keys = keys

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def create_indexes(self, models: list[IndexModel]) -> Any:
        if any(model.document["key"] == self._keys for model in models):
            raise OperationFailure("Index already exists with a different name", 85)
        return self._collection.create_indexes(models)


def test_an_index_that_is_there_under_another_name_is_no_failure(database: Documents) -> None:
    database.subscriptions.insert_one(subscription_document(ObjectId()))
    refusing: Any = SaysItIsThere(database, [("status", 1), ("end_date", 1)])

    indexes.make_indexes(refusing, print, embedded=False)

    made = set(database.subscriptions.index_information())
    assert {"allotment_user_id", "allotment_status_id", "allotment_stripe_customer_id"} <= made
    assert "allotment_status_end_date" not in made


def test_a_build_that_takes_long_tells_that_it_goes_on(
    database: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "TELL_SECONDS", 0.01)
    told: list[str] = []
    database.usages.insert_many([{"user_id": i, "timestamp": NOON} for i in range(20_000)])

    prepare(database, told.append)

    assert any("s so far)" in line for line in told)


# --- an older version's documents ----------------------------------------------------------


def older(database: Documents) -> None:
    """Leave the database as a version without prefixes had left it."""
    prepare(database)
    author = Author(ANN)
    entries = [author.add(), author.use(30)]
    MongoStore(database).append(entries)
    MongoStore(database).mark_clean("shard-000", NOON)
    database.allotment_directory.insert_one({"_id": "slots", "version": 1, "owners": [0] * 4096})
    database.allotment_api_keys.insert_one({"_id": "k", "hash": "h", "scope": "admin"})
    database.allotment_sync_state.insert_one({"_id": "position", "beat": 7})
    for name in NOT_OURS:
        if PREFIX + name in database.list_collection_names():
            database[PREFIX + name].rename(name)
    database.allotment_format.drop()


@pytest.fixture
def upgraded(database: Documents) -> Documents:
    """Return a database that an older version has written."""
    older(database)
    assert "journal" in database.list_collection_names()
    return database


def test_what_an_older_version_wrote_is_found_under_the_new_names(upgraded: Documents) -> None:
    before = everything(upgraded)
    told: list[str] = []

    prepare(upgraded, told.append)

    now = everything(upgraded)
    full = [name for name in NOT_OURS if name in before and before[name][0]]
    assert {"journal", "shards", "directory", "api_keys", "sync_state"} == set(full)
    for name in full:
        assert name not in now
        assert now[PREFIX + name][0] == before[name][0]
        assert f"{name} becomes {PREFIX}{name}" in told
    (stored,) = MongoStore(upgraded).load([ANN], NOON)
    assert [entry.seq for entry in stored.entries] == [1, 2]
    check_format(upgraded)


@pytest.mark.parametrize("renamed", range(1, 6))
def test_a_start_that_was_killed_in_between_is_finished_by_the_next(
    upgraded: Documents, renamed: int
) -> None:
    there = [n for n in NOT_OURS if n in upgraded.list_collection_names()]
    for name in [n for n in there if upgraded[n].find_one() is not None][:renamed]:
        upgraded[name].rename(PREFIX + name)

    prepare(upgraded)

    assert upgraded.allotment_directory.find_one({"_id": "slots"}) is not None
    assert upgraded.allotment_journal.count_documents({}) == 2
    check_format(upgraded)


def test_another_programs_collections_stay_beside_an_older_versions(upgraded: Documents) -> None:
    for name in ("events", "prices", "jobs"):
        upgraded.drop_collection(name)
        upgraded[name].insert_many([{"theirs": name}, {"theirs": 2}])
    theirs = {name: everything(upgraded)[name] for name in ("events", "prices", "jobs")}

    prepare(upgraded)

    now = everything(upgraded)
    assert {name: now[name] for name in theirs} == theirs
    assert "journal" not in now


def test_a_collection_of_an_older_version_and_another_program_is_refused_and_kept(
    upgraded: Documents,
) -> None:
    upgraded.api_keys.insert_one({"_id": "theirs", "token": "t"})
    before = everything(upgraded)

    assert "api_keys holds documents of an older version of Allotment and of another" in refusal(
        upgraded
    )
    assert everything(upgraded) == before


def test_two_versions_that_have_run_at_once_are_refused(upgraded: Documents) -> None:
    upgraded.allotment_journal.insert_one({"_id": "ada 1"})
    before = everything(upgraded)

    assert "There are both journal, of an older version, and allotment_journal" in refusal(upgraded)
    assert everything(upgraded) == before


def test_once_the_format_is_ours_old_names_are_anybodys(database: Documents) -> None:
    prepare(database)
    database.directory.insert_one({"_id": "slots", "owners": []})
    database.journal.insert_one({"_id": "dear diary", "command_id": 1})

    prepare(database)

    assert {"directory", "journal"} <= set(database.list_collection_names())


def test_a_newer_format_is_refused_and_left_as_it_is(database: Documents) -> None:
    prepare(database)
    database.allotment_format.update_one({}, {"$set": {"version": FORMAT + 1}})
    before = everything(database)

    assert f"newer version of Allotment (format {FORMAT + 1}, this one knows {FORMAT})" in refusal(
        database
    )
    assert everything(database) == before


def test_what_did_not_prepare_the_database_refuses_an_older_one(upgraded: Documents) -> None:
    with pytest.raises(UnsuitableDatabaseError, match="older version"):
        check_format(upgraded)
