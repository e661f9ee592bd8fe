"""What an older version wrote is found again; what a newer one wrote is left alone."""

from typing import Any, cast

import pytest
from pymongo.errors import OperationFailure

from actors.mongo.accounts.store import MongoStore
from actors.mongo.embedded_wire import Documents
from actors.mongo.preparation import prepare
from actors.mongo.stored_format import FORMAT, NOT_OURS, PREFIX, check_format
from actors.protocol.store import UnsuitableDatabaseError
from domain.values import UserId
from tests.builders.authors import Author
from tests.builders.databases import everything, refusal
from tests.builders.ledger import NOON

ANN = UserId("ann")


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


@pytest.mark.parametrize("older", range(2, FORMAT))
def test_an_older_format_whose_documents_stay_as_they_are_is_raised(
    database: Documents, older: int
) -> None:
    prepare(database)
    before = everything(database)
    database.allotment_format.update_one({}, {"$set": {"version": older}})
    with pytest.raises(UnsuitableDatabaseError, match="older version"):
        check_format(database)

    prepare(database)
    prepare(database)

    check_format(database)
    assert everything(database) == before


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


class MayNot:
    """A collection that this user may not rename."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def rename(self, name: str) -> None:
        raise OperationFailure("not authorized on app to execute command", 13)


def test_a_user_who_may_not_rename_is_told_so(upgraded: Documents) -> None:
    class Database:
        def __getattr__(self, name: str) -> Any:
            return getattr(upgraded, name)

        def __getitem__(self, name: str) -> Any:
            return MayNot(upgraded[name])

    with pytest.raises(UnsuitableDatabaseError, match="cannot be prepared: not authorized"):
        prepare(cast("Documents", Database()))
