"""The database away: nothing is acknowledged falsely, and the service comes back by itself."""

import math
import os
import signal
import time

import httpx
import pytest

from tests.patience import PATIENCE_SECONDS
from tests.service.processes import database_pid
from tests.service.requests import add_credits, charge, status
from tests.service.running import RunningService, wait_until
from tests.stopping import stop_process

pytestmark = pytest.mark.service

BACK_SECONDS_MAX = PATIENCE_SECONDS


def sync_lag(http: httpx.Client) -> float:
    """Return how old the news of changes are that every shard has, in seconds."""
    answer = http.get("/admin/sync")
    return float(answer.json()["lag_seconds"]) if answer.status_code == 200 else math.inf


def test_a_killed_database_costs_seconds_and_no_charge(
    service: RunningService, http: httpx.Client
) -> None:
    add_credits(http, "grete")
    first = charge(http, "grete", 10, key="before")

    os.kill(database_pid(service), signal.SIGKILL)
    from_ram = status(http, "grete")
    wait_until(lambda: charge(http, "grete", 20, key="after").status_code == 201, BACK_SECONDS_MAX)
    back_at = time.monotonic()
    wait_until(lambda: http.get("/readyz").status_code == 200, BACK_SECONDS_MAX)
    # Changes are followed again, too: what had to be read anew for want of their history was.
    wait_until(lambda: sync_lag(http) < time.monotonic() - back_at, BACK_SECONDS_MAX)

    assert first.status_code == 201
    assert from_ram["remaining_credits"] == 80
    assert charge(http, "grete", 10, key="before").content == first.content
    assert status(http, "grete")["remaining_credits"] == 60
    http.get("/subscription/usage", params={"user_id": "grete"}).raise_for_status()
    with service.mongo() as mongo:
        charges = [u["credit_amount"] for u in mongo.allotment.usages.find({"user_id": "grete"})]
    assert sorted(charges) == [10, 20]


def test_a_stopped_database_is_named_and_costs_writes_only(
    service: RunningService, http: httpx.Client
) -> None:
    add_credits(http, "hanna")
    pid = database_pid(service)

    stop_process(pid)
    try:
        from_ram = http.get("/subscription/status", params={"user_id": "hanna"})
        known = [http.get(f"/admin/{name}").json() for name in ("sync", "shards")]
        unready = http.get("/readyz")
        refused = charge(http, "hanna", 10, key="k")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: charge(http, "hanna", 10, key="k").status_code == 201, BACK_SECONDS_MAX)

    assert from_ram.status_code == 200, (from_ram.text, known)
    assert from_ram.json()["remaining_credits"] == 90
    assert unready.status_code == 503
    assert "database" in unready.json()["missing"]
    assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")
    assert refused.headers["Retry-After"] == "1"
    assert status(http, "hanna")["remaining_credits"] == 80
