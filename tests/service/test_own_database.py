"""A service that starts in an application's own database serves its users and leaves it alone."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from bson import ObjectId
from pymongo.database import Database

from actors.embedded_mongo import EmbeddedMongo
from actors.mongo.connection import MongoWire
from tests.service.mongoose import subscription_document
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

SUBSCRIPTIONS = 2_000
DOCUMENTS = 500  # Of each of the application's other collections.

Shop = Database[dict[str, Any]]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedMongo(tmp_path_factory.mktemp("mongo"), wire=MongoWire()) as mongo:
        yield mongo.uri


@pytest.fixture(scope="module")
def shop(uri: str) -> Iterator[Shop]:
    """Yield the database of an application that has been running for a while."""
    with pymongo.MongoClient(uri, retryWrites=False) as client:
        shop: Shop = client.shop
        users = [ObjectId() for _ in range(SUBSCRIPTIONS)]
        shop.subscriptions.insert_many([subscription_document(user) for user in users])
        shop.subscriptions.create_index("user_id", name="by_user")
        shop.accounts.insert_many([{"_id": n, "iban": f"DE{n}"} for n in range(DOCUMENTS)])
        shop.accounts.create_index("iban", unique=True)
        shop.events.insert_many([{"type": "login", "number": n} for n in range(DOCUMENTS)])
        yield shop


@pytest.fixture(scope="module")
def beside(shop: Shop, uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Yield a service in the application's database, and what there was before it."""
    before = theirs(shop)
    settings = {"ALLOTMENT_MONGO_URI": uri, "ALLOTMENT_MONGO_DB": "shop", "ALLOTMENT_SHARDS": "1"}
    directory: Path = tmp_path_factory.mktemp("beside")
    with RunningService(directory, **settings) as service, service.client() as http:
        yield service, http, before
        assert service.stop(signal.SIGINT) == 0


def theirs(shop: Shop) -> dict[str, Any]:
    """Return all that the application alone uses."""
    return {
        name: (list(shop[name].find().sort("_id", 1)), shop[name].index_information())
        for name in ("accounts", "events")
    }


def test_it_serves_the_applications_users_and_leaves_its_collections_alone(
    beside: tuple[RunningService, httpx.Client, dict[str, Any]], shop: Shop
) -> None:
    service, http, before = beside
    last = list(shop.subscriptions.find({}, ["user_id"]).sort("_id", -1).limit(3))
    users = [str(document["user_id"]) for document in last]

    for user in users:
        charge = {"user_id": user, "service_type": "chat", "credit_amount": 30}
        answer = http.post("/subscription/usage", json=charge)
        assert (answer.status_code, answer.json()["remaining_credits"]) == (201, 60)
    report = http.post("/admin/validate", json={"repair": False}, timeout=120).json()

    assert report["drift"] == 0
    assert theirs(shop) == before
    assert shop.subscriptions.count_documents({}) == SUBSCRIPTIONS
    ours = {"subscriptions", "dailycredits", "usages", "accounts", "events"}
    rest = set(shop.list_collection_names()) - ours
    assert all(name.startswith("allotment_") for name in rest)
    assert len(rest) > 5
    told = [line for line in service.output if "indexes on subscriptions: allotment_" in line]
    assert len(told) == 1
    assert "allotment_user_id" not in told[0]


def test_a_process_that_knows_another_format_starts_nothing_and_answers_nobody(
    beside: tuple[RunningService, httpx.Client, dict[str, Any]], shop: Shop
) -> None:
    service, http, _ = beside
    (shard,) = http.get("/admin/shards").json()
    charge = {"user_id": "ada", "service_type": "chat", "credit_amount": 0}

    shop.allotment_format.update_one({}, {"$inc": {"version": 1}})
    restart = service.command("restart")
    os.kill(shard["pid"], signal.SIGKILL)
    meanwhile = http.post("/subscription/usage", json=charge)
    shop.allotment_format.update_one({}, {"$inc": {"version": -1}})

    assert (restart.returncode, meanwhile.status_code) == (1, 503)
    assert "newer version of Allotment" in " ".join(restart.stderr.split())
    wait_until(lambda: http.post("/subscription/usage", json=charge).status_code == 402, 60)
