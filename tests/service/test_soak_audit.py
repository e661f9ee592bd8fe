"""The books of scripts wait for views that come late, and name what never comes."""

import threading

import mongomock
import pytest

from actors.mongo.embedded_wire import Documents
from tests.service import soak_audit
from tests.service.mixed_work import GRANT, Books
from tests.service.soak_audit import wrong_grants


def test_a_grant_whose_view_comes_late_is_no_lost_one() -> None:
    database: Documents = mongomock.MongoClient().db
    books = Books()
    database.subscriptions.insert_one({"user_id": "soak-1", "total_credits": GRANT})
    books.granted["soak-1"] = 2 * GRANT
    change = {"$set": {"total_credits": 2 * GRANT}}
    late = threading.Timer(0.2, database.subscriptions.update_one, ({"user_id": "soak-1"}, change))
    late.start()

    found = wrong_grants(database, books)

    late.join()
    assert found == []


def test_a_grant_that_never_comes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_audit, "REST_SECONDS_MAX", 0.2)
    books = Books()
    books.granted["soak-1"] = GRANT

    assert wrong_grants(mongomock.MongoClient().db, books) == [
        "granted and stored credits differ: ['soak-1']"
    ]
