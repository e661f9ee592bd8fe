"""Indexes that another program drops come back, and those that are in the way are named."""

import pytest

from actors.mongo.indexes import wanted_indexes
from actors.mongo.jobs.index_care import MongoIndexCare
from actors.protocol.reports import Findings
from tests.builders.authors import NOON, Author, write
from tests.fakes.setups import MongoSetup

SHARED = ("dailycredits", "subscriptions", "usages")
EVERY = pytest.mark.parametrize("name", [n for n, w in wanted_indexes(embedded=False).items() if w])


def care(setup: MongoSetup) -> MongoIndexCare:
    return MongoIndexCare(setup.database)


def index_names(setup: MongoSetup, name: str) -> set[str]:
    return {index["name"] for index in setup.database[name].list_indexes()}


def test_where_all_is_there_nothing_is_done(embedded: MongoSetup) -> None:
    assert care(embedded).look_after(repair=True) == Findings()


@EVERY
def test_indexes_that_an_odm_drops_are_made_again(embedded: MongoSetup, name: str) -> None:
    before = index_names(embedded, name)
    embedded.database[name].drop_indexes()

    named = care(embedded).look_after(repair=False)
    made = care(embedded).look_after(repair=True)

    assert index_names(embedded, name) == before
    assert len(named.index_problems) == made.indexes_made == len(before) - 1
    assert (named.indexes_made, made.index_problems) == (0, [])


@EVERY
def test_a_collection_that_was_dropped_has_its_indexes_again(
    embedded: MongoSetup, name: str
) -> None:
    before = index_names(embedded, name)
    embedded.database[name].drop()

    care(embedded).look_after(repair=True)

    assert index_names(embedded, name) == before


def test_one_that_cannot_be_made_is_named_and_the_others_are_made(embedded: MongoSetup) -> None:
    embedded.database.dailycredits.drop_indexes()
    embedded.database.dailycredits.insert_many(
        [{"subscription_id": "s", "date": NOON} for _ in range(2)]
    )

    found = care(embedded).look_after(repair=True)

    (problem,) = found.index_problems
    assert "dailycredits cannot have the indexes allotment_subscription_id_date" in problem
    assert "allotment_holds_until" in index_names(embedded, "dailycredits")


@pytest.mark.parametrize("name", SHARED)
def test_a_unique_index_of_another_program_is_named_each_time(
    embedded: MongoSetup, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(embedded.store, [Author("ann").add()])
    embedded.database[name].create_index("user_id", unique=True, name="user_id_1")

    for _ in range(2):
        found = care(embedded).look_after(repair=True)

        (problem,) = found.index_problems
        assert problem.startswith(f"{name} has the index user_id_1, which may refuse")
        assert problem in caplog.text
        assert found.indexes_made == 0
