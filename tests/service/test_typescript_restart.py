"""The TypeScript client while the service that it talks to is ended, and started again."""

import json
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from bench.haproxy import listens
from tests.clients.typescript import CLIENT, needs_node, there
from tests.patience import SERVICE_SECONDS
from tests.service.requests import status
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

CALLS = 500


def test_hundreds_of_holds_outlive_a_service_that_is_ended_and_started_again(
    tmp_path: Path,
) -> None:
    needs_node()
    with RunningService(tmp_path, ALLOTMENT_SHARDS="2") as service:
        for number in (signal.SIGKILL, signal.SIGTERM):
            user = number.name.lower()
            with service.client() as http:
                payment = {"method": "card", "transaction_id": user, "amount": 1, "currency": "eur"}
                body = {"user_id": user, "amount": 20_000, "days": 1, "payment": payment}
                http.post("/subscription/credits", json=body).raise_for_status()
            result = calls_while_it_ends(service, number, user)
            with service.client() as http:
                check_books(service, http, user, result)


def calls_while_it_ends(
    service: RunningService, number: signal.Signals, user: str
) -> dict[str, object]:
    """Return what came of the calls of a client whose service is ended and started again."""
    more = {"ALLOTMENT_USER": user, "ALLOTMENT_CALLS": str(CALLS)}
    storm = subprocess.Popen(
        ["node", "scripts/test.mjs", "program", "storm"],
        cwd=CLIENT,
        env=there(service, **more),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert storm.stdout is not None
        assert storm.stdout.readline().strip() == "under way"
        service.stop(number)
        wait_until(lambda: not listens(service.port), SERVICE_SECONDS)
        service.start()
        result: dict[str, object] = json.loads(storm.stdout.read())
    finally:
        storm.kill()
        storm.communicate()
    return result


def check_books(
    service: RunningService, http: httpx.Client, user: str, result: dict[str, object]
) -> None:
    """Check that each call came to an end of its kind, and that all that was charged is booked."""
    assert result["done"] == CALLS
    assert result["failures"] == {"RangeError": CALLS // 10}

    def is_free() -> bool:
        answer = http.get("/subscription/holds", params={"user_id": user})
        return answer.is_success and answer.json()["holds"] == []

    wait_until(is_free, SERVICE_SECONDS)
    shown = status(http, user)
    assert (shown["credits_used"], shown["credits_held"]) == (result["charged"], 0)
    # It is answered once the views contain what was.
    wait_until(lambda: http.get(f"/subscriptions/{user}").is_success, SERVICE_SECONDS)
    with service.mongo() as mongo:
        (day,) = mongo.allotment.dailycredits.find({"user_id": user})
        usages = list(mongo.allotment.usages.find({"user_id": user}))
    assert (day["credits_used"], day["credits_held"]) == (result["charged"], 0)
    assert not day.get("holds")
    assert sum(usage["credit_amount"] for usage in usages) == result["charged"]
    assert len(usages) == CALLS - CALLS // 10
