"""Actors that hang: found, started again, and nothing of what they had said is lost."""

import time
from collections.abc import Iterator

import httpx
import pytest

from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents
from tests.service.patience import BACK_SECONDS_MAX, FOUND_SECONDS_MAX
from tests.service.processes import actor_pids, runs, shard_pid, wake
from tests.service.requests import add_credits, charge, status
from tests.service.running import RunningService, wait_until
from tests.stopping import stop_process

pytestmark = pytest.mark.service

SINGLETONS = ("SyncActor", "JanitorActor", "EventActor")


@pytest.fixture
def database(service: RunningService) -> Iterator[Documents]:
    database = connect(service.mongo_uri, "allotment")
    yield database
    database.client.close()


def test_all_actors_hang_at_once_and_are_started_again_within_seconds(
    service: RunningService, http: httpx.Client, database: Documents
) -> None:
    add_credits(http, "iris-hangs")
    charge(http, "iris-hangs", 10, key="before")
    shards = {name: shard_pid(database, name) for name in ("shard-000", "shard-001")}
    singletons = {name: actor_pids(service, name) for name in SINGLETONS}
    stopped = set(shards.values()).union(*singletons.values())

    def all_are_replaced() -> bool:
        return all(shard_pid(database, name) != pid for name, pid in shards.items()) and all(
            actor_pids(service, name) - pids for name, pids in singletons.items()
        )

    began = time.monotonic()
    try:
        for pid in stopped:
            stop_process(pid)
        wait_until(lambda: not any(runs(pid) for pid in stopped), BACK_SECONDS_MAX)
        found_after = time.monotonic() - began
        wait_until(all_are_replaced, BACK_SECONDS_MAX)
    finally:
        for pid in stopped:
            wake(pid)
    wait_until(lambda: charge(http, "iris-hangs", 20, key="k").status_code == 201, BACK_SECONDS_MAX)
    wait_until(lambda: http.get("/readyz").status_code == 200, BACK_SECONDS_MAX)

    assert len(stopped) == len(shards) + len(SINGLETONS)
    assert found_after < FOUND_SECONDS_MAX
    assert status(http, "iris-hangs")["remaining_credits"] == 60
    assert charge(http, "iris-hangs", 10, key="before").headers["Idempotent-Replayed"] == "true"
