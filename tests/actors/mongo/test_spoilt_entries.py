"""Entries that cannot be read, where entries are read beside the accounts."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from actors.mongo.jobs.store import MongoJobStore
from actors.protocol.queries import HistoryQuery
from domain.documents.journal import entry_id
from tests.builders.authors import NOON
from tests.builders.spoilt_entries import ANN, SPOILT, spoil, written
from tests.fakes.setups import MongoSetup


@pytest.fixture(params=SPOILT)
def fields(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Return what is made of one entry."""
    return SPOILT[request.param]


def test_the_history_shows_what_is_left_of_such_an_entry(
    embedded: MongoSetup, fields: Mapping[str, Any]
) -> None:
    written(embedded)
    spoil(embedded, 2, fields)

    page = embedded.reads.history(HistoryQuery(ANN, 10, None))

    assert [item.seq for item in page.items] == [2, 1]
    assert page.items[0].unreadable
    assert page.items[0].change is None
    assert page.items[1].unreadable is None


def test_a_sweep_names_whose_entries_cannot_be_read(
    embedded: MongoSetup, fields: Mapping[str, Any]
) -> None:
    written(embedded)
    spoil(embedded, 2, fields)

    found = MongoJobStore(embedded.database, "UTC").check(None)

    assert (found.quarantined, found.users) == (1, [ANN])
    assert found.invariants_broken == 0


def test_old_entries_leave_the_journal_whatever_is_in_them(
    embedded: MongoSetup, fields: Mapping[str, Any]
) -> None:
    written(embedded)
    spoil(embedded, 2, fields)

    MongoJobStore(embedded.database, "UTC").trim(NOON + timedelta(days=40))

    rest = [d["_id"] for d in embedded.documents("allotment_journal")]
    assert rest == ([entry_id(ANN, 2)] if "at" in fields else [])
