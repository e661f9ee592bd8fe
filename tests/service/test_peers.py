"""The peers of `make bench` do what they are measured for: check, decide, answer and keep books."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pymongo
import pytest

from bench.load import usage_body
from bench.peers import ONE_INSERT, PEERS, Target
from bench.users import AMOUNT, DAYS, user_id
from domain.api.answers import CreditStatusResponse, UsageRecordResponse
from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService, wait_until

USERS = 3
LIMIT = (AMOUNT - AMOUNT // 10) // DAYS
BOTH_JOBS = [name for name, peer in PEERS.items() if "status" in peer.jobs]


@contextlib.contextmanager
def running(name: str, service: RunningService) -> Iterator[Target]:
    """Run a peer on the service's database server, and leave nothing of it there."""
    if why := PEERS[name].lacks():
        pytest.skip(f"{name} is not tried: {why}")
    with service.mongo() as client:
        before = set(client.list_database_names())
        try:
            with PEERS[name].run(service.mongo_uri, USERS) as target:
                yield target
        finally:
            wait_until(lambda: dropped(client, before), PATIENCE_SECONDS)


def dropped(client: "pymongo.MongoClient[dict[str, Any]]", before: set[str]) -> bool:
    """Drop databases that were not there; return whether there was none: a late write makes one again."""
    left = set(client.list_database_names()) - before
    for database in left:
        client.drop_database(database)
    return not left


def client_of(target: Target, key: str | None = None) -> httpx.Client:
    return httpx.Client(
        base_url=f"http://127.0.0.1:{target.port}",
        headers={"Authorization": f"Bearer {key or target.key}"},
        timeout=PATIENCE_SECONDS,
    )


def charge(http: httpx.Client, index: int, amount: int) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return http.post("/usage", content=usage_body(index, amount), headers=headers)


def status(http: httpx.Client, index: int) -> dict[str, object]:
    answer = http.get("/status", params={"user_id": user_id(index)})
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == CreditStatusResponse.model_fields.keys()
    return CreditStatusResponse.model_validate(answer.json()).model_dump()


@pytest.mark.service
@pytest.mark.parametrize("name", BOTH_JOBS)
def test_a_peer_answers_as_the_service_does(name: str, service: RunningService) -> None:
    with running(name, service) as target, client_of(target) as http:
        charged = charge(http, 0, 30)
        seen, other = status(http, 0), status(http, 1)

        assert charged.status_code == 201
        assert charged.json().keys() == UsageRecordResponse.model_fields.keys() - {"tokens"}
        record = UsageRecordResponse.model_validate(charged.json())
        assert (record.credit_amount, record.credits_used, record.token_count) == (30, 30, 512)
        assert (record.subscription_id, record.date) == (seen["subscription_id"], seen["date"])
        assert record.remaining_credits == seen["remaining_credits"] == LIMIT - 30
        assert (seen["credits_used"], seen["days_remaining"]) == (30, DAYS)
        assert other["remaining_credits"] == other["daily_credit_limit"] == LIMIT


@pytest.mark.service
@pytest.mark.parametrize("name", BOTH_JOBS)
def test_a_peer_lets_nobody_overspend_by_racing(name: str, service: RunningService) -> None:
    with running(name, service) as target, client_of(target) as http, ThreadPoolExecutor(8) as pool:
        assert charge(http, 0, LIMIT - 5).status_code == 201
        answers = pool.map(lambda _: charge(http, 0, 2).status_code, range(8))

        assert sorted(answers) == [201] * 2 + [402] * 6
        assert status(http, 0)["remaining_credits"] == 1


@pytest.mark.service
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_refuses_other_keys(name: str, service: RunningService) -> None:
    with running(name, service) as target, client_of(target, "allot_other") as http:
        assert charge(http, 0, 1).status_code == 401


@pytest.mark.service
@pytest.mark.parametrize("name", [name for name in PEERS if "Redis" not in name])
def test_a_peer_of_mongodb_keeps_books(name: str, service: RunningService) -> None:
    with (
        service.mongo() as client,
        running(name, service) as target,
        client_of(target) as http,
    ):
        for amount in (1, 2, 3):
            assert charge(http, 2, amount).status_code == 201
        (database,) = (n for n in client.list_database_names() if n.startswith("bench_"))
        days = client[database].dailycredits.find({"credits_used": {"$gt": 0}})

        assert sorted(u["credit_amount"] for u in client[database].usages.find()) == [1, 2, 3]
        if name != ONE_INSERT:
            assert [day["credits_used"] for day in days] == [6]
