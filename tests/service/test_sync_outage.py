"""The synchronisation away: no edit is lost, and nobody is shown what is no longer so for long."""

import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from tests.patience import PATIENCE_SECONDS
from tests.service.mongoose import Mongoose, mongoose_of
from tests.service.processes import actor_pid, wake
from tests.service.running import RunningService, wait_until
from tests.stopping import stop_process

pytestmark = pytest.mark.service

BACK_SECONDS_MAX = PATIENCE_SECONDS


@pytest.fixture
def other(service: RunningService, http: httpx.Client) -> Iterator[Mongoose]:
    """Return another program that writes to the service's database."""
    with mongoose_of(service, http) as mongoose:
        yield mongoose


def test_an_edit_while_the_synchronisation_is_killed_is_seen_when_it_is_back(
    service: RunningService, http: httpx.Client, other: Mongoose
) -> None:
    user = other.user()
    subscription_id = other.subscription(user)
    other.shows(user, daily_credit_limit=90)

    os.kill(actor_pid(service, "SyncActor"), signal.SIGKILL)
    other.set(subscription_id, spendable_credits=5400.0)

    other.shows(user, daily_credit_limit=180)
    wait_until(lambda: http.get("/readyz").status_code == 200, BACK_SECONDS_MAX)
    after = http.get("/admin/sync").json()
    assert after["resumes"] == 1
    assert after["resyncs"] == 0


def test_a_synchronisation_that_hangs_is_named_and_an_edit_meanwhile_is_seen(
    service: RunningService, http: httpx.Client, other: Mongoose
) -> None:
    user = other.user()
    subscription_id = other.subscription(user)
    other.shows(user, daily_credit_limit=90)
    pid = actor_pid(service, "SyncActor")

    stop_process(pid)
    try:
        other.set(subscription_id, spendable_credits=5400.0)
        unready = http.get("/readyz")
        other.shows(user, daily_credit_limit=180)
    finally:
        wake(pid)

    assert (unready.status_code, unready.json()["missing"]) == (503, ["sync"])
    wait_until(lambda: http.get("/readyz").status_code == 200, BACK_SECONDS_MAX)
    assert not any(row["stale"] for row in http.get("/admin/shards").json())


def test_an_edit_while_the_shards_are_killed_is_seen_when_they_are_back(
    service: RunningService, http: httpx.Client, other: Mongoose
) -> None:
    user = other.user()
    subscription_id = other.subscription(user)
    other.shows(user, status="active")

    for row in http.get("/admin/shards").json():
        os.kill(row["pid"], signal.SIGKILL)
    other.set(subscription_id, spendable_credits=5400.0)

    wait_until(lambda: http.get("/readyz").status_code == 200, BACK_SECONDS_MAX)
    other.shows(user, daily_credit_limit=180)
