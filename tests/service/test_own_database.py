"""A service that starts in an application's own database serves its users and leaves it alone."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from bson import ObjectId
from pymongo.database import Database

from actors.cli.terminal import RUN_SECONDS_MAX
from actors.embedded.keeper import EmbeddedMongo
from actors.mongo.embedded_wire import MongoWire
from tests.actors.conftest import REAL_MONGO_URI
from tests.patience import PATIENCE_SECONDS
from tests.service.mongoose import subscription_document
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

SUBSCRIPTIONS = int(os.environ.get("ALLOTMENT_TEST_SUBSCRIPTIONS", "2000"))
DOCUMENTS = 500  # Of each of the application's other collections.
CHARGES = int(os.environ.get("ALLOTMENT_TEST_CHARGES", "200"))  # More, where a set is in trouble.
CALLERS = 8

Shop = Database[dict[str, Any]]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield where a server answers that is not the service's own."""
    if REAL_MONGO_URI:
        yield REAL_MONGO_URI
        return
    with EmbeddedMongo(tmp_path_factory.mktemp("mongo"), wire=MongoWire()) as mongo:
        yield mongo.uri


@pytest.fixture(scope="module")
def shop(uri: str) -> Iterator[Shop]:
    """Yield the database of an application that has been running for a while."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        uri, retryWrites=bool(REAL_MONGO_URI)
    )
    with client:
        client.drop_database("shop")
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
    directory: Path = tmp_path_factory.mktemp("beside")
    with RunningService(directory, **settings(uri)) as service, service.client() as http:
        yield service, http, before
        assert service.stop(signal.SIGINT) == 0


def settings(uri: str) -> dict[str, str]:
    """Return how a service is told of the application's database."""
    return {"ALLOTMENT_MONGO_URI": uri, "ALLOTMENT_MONGO_DB": "shop", "ALLOTMENT_SHARDS": "1"}


def remaining(http: httpx.Client, user: str) -> int:
    """Return the credits that a user has left."""
    answer = http.get("/subscription/status", params={"user_id": user})
    return int(answer.json()["remaining_credits"])


def theirs(shop: Shop) -> dict[str, Any]:
    """Return all that the application alone uses."""
    return {
        name: (list(shop[name].find().sort("_id", 1)), shop[name].index_information())
        for name in ("accounts", "events")
    }


def charged(http: httpx.Client, key: str, user: str, amount: int) -> httpx.Response:
    """Charge once, however often that has to be asked: a 5xx is repeated with its key."""
    body = {
        "user_id": user,
        "service_type": "chat",
        "credit_amount": amount,
        "on_insufficient": "record",
    }
    answers: list[httpx.Response] = []

    def answered() -> bool:
        with contextlib.suppress(httpx.TransportError):
            answer = http.post("/subscription/usage", json=body, headers={"Idempotency-Key": key})
            if answer.status_code < 500:
                answers.append(answer)
        return bool(answers)

    wait_until(answered, PATIENCE_SECONDS)
    return answers[0]


def test_it_serves_the_applications_users_and_leaves_its_collections_alone(
    beside: tuple[RunningService, httpx.Client, dict[str, Any]], shop: Shop
) -> None:
    service, http, before = beside
    last = list(shop.subscriptions.find({}, ["user_id"]).sort("_id", -1).limit(3))
    users = [str(document["user_id"]) for document in last]

    for user in users:
        answer = charged(http, f"first {user}", user, 30)
        assert (answer.status_code, answer.json()["remaining_credits"]) == (201, 60)
    report = http.post("/admin/validate", json={"repair": False}, timeout=RUN_SECONDS_MAX).json()

    assert report["drift"] == 0
    assert theirs(shop) == before
    assert shop.subscriptions.count_documents({}) == SUBSCRIPTIONS
    ours = {"subscriptions", "dailycredits", "usages", "packs", "accounts", "events"}
    rest = set(shop.list_collection_names()) - ours
    assert all(name.startswith("allotment_") for name in rest)
    assert len(rest) > 5
    told = [line for line in service.output if "indexes on subscriptions: allotment_" in line]
    assert len(told) == 1
    assert "allotment_user_id" not in told[0]


def test_no_charge_is_lost_or_doubled(
    beside: tuple[RunningService, httpx.Client, dict[str, Any]], shop: Shop
) -> None:
    _, http, _ = beside
    user = str(shop.subscriptions.find({}, ["user_id"]).sort("_id", 1).limit(1)[0]["user_id"])

    def charge(number: int) -> int:
        return charged(http, f"charge {number}", user, 1).status_code

    with ThreadPoolExecutor(CALLERS) as callers:
        statuses = set(callers.map(charge, range(CHARGES)))

    assert statuses == {201}
    repeated = charged(http, "charge 0", user, 1)
    assert repeated.headers["Idempotent-Replayed"] == "true"
    status = http.get("/subscription/status", params={"user_id": user}).json()
    assert status["credits_used"] == CHARGES
    wait_until(lambda: used(shop, user) == (CHARGES, CHARGES), PATIENCE_SECONDS)


def used(shop: Shop, user: str) -> tuple[int, int]:
    """Return what the documents of a user's days and charges add up to."""
    days = shop.dailycredits.find({"user_id": ObjectId(user)})
    usages = shop.usages.find({"user_id": ObjectId(user)})
    return sum(d["credits_used"] for d in days), sum(u["credit_amount"] for u in usages)


def is_there(pid: int) -> bool:
    """Return whether a process lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def restarted(service: RunningService) -> subprocess.CompletedProcess[str]:
    """Give `allotment restart` until it does not ask to be tried again: a process may be starting."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "try again later" in " ".join((done := service.command("restart")).stderr.split()):
        assert time.monotonic() < deadline, done.stderr
    return done


def test_a_process_that_knows_another_format_starts_nothing_and_answers_nobody(
    beside: tuple[RunningService, httpx.Client, dict[str, Any]], shop: Shop
) -> None:
    service, http, _ = beside
    (shard,) = http.get("/admin/shards").json()
    charge = {"user_id": "ada", "service_type": "chat", "credit_amount": 0}

    shop.allotment_format.update_one({}, {"$inc": {"version": 1}})
    try:
        restart = restarted(service)
        wait_until(lambda: not is_there(shard["pid"]), PATIENCE_SECONDS)  # It ends by itself.
        meanwhile = http.post("/subscription/usage", json=charge)
    finally:
        shop.allotment_format.update_one({}, {"$inc": {"version": -1}})

    assert (restart.returncode, meanwhile.status_code) == (1, 503)
    assert "newer version of Allotment" in " ".join(restart.stderr.split())
    wait_until(
        lambda: http.post("/subscription/usage", json=charge).status_code == 402, PATIENCE_SECONDS
    )


def test_a_restored_backup_is_seen_at_once(
    beside: tuple[RunningService, httpx.Client, dict[str, Any]], shop: Shop, uri: str
) -> None:
    service, http, _ = beside
    user = str(shop.subscriptions.find({}, ["user_id"]).sort("_id", 1).limit(2)[1]["user_id"])
    assert charged(http, "before the backup", user, 7).status_code == 201
    wait_until(lambda: used(shop, user) == (7, 7), PATIENCE_SECONDS)
    service.stop(signal.SIGINT)  # The last test here: from now on it runs services of its own.
    directory = service.data_dir.parent

    backup = {name: list(shop[name].find()) for name in shop.list_collection_names()}
    with RunningService(directory, **settings(uri)) as first, first.client() as http:
        charged(http, "after the backup", user, 20)
        assert remaining(http, user) == 63
    shop.client.drop_database("shop")
    for name in filter(backup.get, backup):
        shop[name].insert_many(backup[name])

    with RunningService(directory, **settings(uri)) as second, second.client() as http:
        assert remaining(http, user) == 83
        replayed = charged(http, "before the backup", user, 7)
        assert replayed.headers["Idempotent-Replayed"] == "true"
        assert "Idempotent-Replayed" not in charged(http, "after the backup", user, 20).headers
        assert remaining(http, user) == 63
