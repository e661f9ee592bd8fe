"""RAM fills by itself after shards have died, be it that the process which reads for them dies with them."""

import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents
from tests.service.patience import BACK_SECONDS_MAX
from tests.service.processes import actor_pid, shard_pid
from tests.service.requests import add_credits, status
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

USERS = [f"filled-{number}" for number in range(12)]
SHARDS = ("shard-000", "shard-001")


@pytest.fixture
def database(service: RunningService) -> Iterator[Documents]:
    database = connect(service.mongo_uri, "allotment")
    yield database
    database.client.close()


def in_ram(http: httpx.Client) -> int:
    """Return how many accounts the shards hold; 0 while one of them does not answer."""
    answer = http.get("/admin/shards")
    return sum(row["users"] for row in answer.json()) if answer.status_code == 200 else 0


def test_shards_that_have_died_are_filled_though_who_reads_for_them_dies_too(
    service: RunningService, http: httpx.Client, database: Documents
) -> None:
    for user in USERS:
        add_credits(http, user).raise_for_status()
    wait_until(
        lambda: database.subscriptions.count_documents({"user_id": {"$in": USERS}}) == len(USERS),
        BACK_SECONDS_MAX,
    )
    died = {shard_pid(database, name) for name in SHARDS}
    for pid in (actor_pid(service, "ListsActor"), *died):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: in_ram(http) >= len(USERS), BACK_SECONDS_MAX)

    assert not died & {shard_pid(database, name) for name in SHARDS}
    assert [status(http, user)["remaining_credits"] for user in USERS] == [90] * len(USERS)
