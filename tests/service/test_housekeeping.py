"""What operators do to the running service: change, list, read anew, compare, expire."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import Int64, ObjectId

from tests.patience import PATIENCE_SECONDS
from tests.service.mongoose import FOLLOWS_SECONDS_MAX, is_flushed
from tests.service.requests import add_credits, charge, iso, status
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

EXPIRY_SECONDS_MAX = PATIENCE_SECONDS


def subscription_of(http: httpx.Client, user: str) -> dict[str, Any]:
    (record,) = http.get(f"/subscriptions/{user}").json()["subscriptions"]
    return dict(record)


def expired_of_reports(http: httpx.Client) -> int:
    reports = http.get("/admin/sweeps", params={"job": "expire"}).json()
    return sum(report["expired"] for report in reports)


def test_a_changed_subscription_is_so_everywhere_when_it_answers(
    service: RunningService, http: httpx.Client
) -> None:
    added = add_credits(http, "patch").json()["subscription"]["subscription_id"]
    end = iso(datetime.now(UTC) + timedelta(days=90))
    key = {"Idempotency-Key": "patch-1"}
    body = {"status": "paused", "end_date": end}

    changed = http.patch(f"/subscriptions/{added}", json=body, headers=key)

    database = service.mongo().allotment
    document = database.subscriptions.find_one({"_id": ObjectId(added)})
    again = http.patch(f"/subscriptions/{added}", json=body, headers=key)
    assert changed.status_code == 200, changed.text
    assert changed.json() == subscription_of(http, "patch")
    assert document is not None
    assert (document["status"], iso(document["end_date"].replace(tzinfo=UTC))) == (
        "paused",
        end,
    )
    assert status(http, "patch")["status"] == "paused"
    assert charge(http, "patch", 1).json()["code"] == "no_active_subscription"
    assert again.json() == changed.json()
    assert again.headers["idempotent-replayed"] == "true"
    database.client.close()


def test_subscriptions_are_listed_by_status_page_by_page(http: httpx.Client) -> None:
    for index in range(3):
        added = add_credits(http, f"listed-{index}").json()["subscription"]["subscription_id"]
        http.patch(f"/subscriptions/{added}", json={"status": "past_due"})

    found, cursor = [], None
    while True:
        params = {"status": "past_due", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = http.get("/subscriptions", params=params).json()
        found += [item["user_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert sorted(user for user in found if user.startswith("listed")) == [
        "listed-0",
        "listed-1",
        "listed-2",
    ]


def test_an_unknown_subscription_is_not_found(http: httpx.Client) -> None:
    answer = http.patch(f"/subscriptions/{ObjectId()}", json={"status": "paused"})

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_ram_follows_mongodb_when_it_is_told_to(
    service: RunningService, http: httpx.Client
) -> None:
    add_credits(http, "read-anew").raise_for_status()
    charge(http, "read-anew", 5).raise_for_status()
    with service.mongo() as client:
        wait_until(lambda: is_flushed(client.allotment, "read-anew"), FOLLOWS_SECONDS_MAX)
        day = {"user_id": "read-anew"}
        client.allotment.dailycredits.update_one(day, {"$set": {"credits_used": Int64(11)}})

    one = http.post("/admin/sync", json={"user_id": "read-anew"})
    everyone = http.post("/admin/sync")

    assert one.status_code == everyone.status_code == 200
    assert one.json()["checked"] == 1
    assert everyone.json()["checked"] >= 1
    assert status(http, "read-anew")["credits_used"] == 11


def test_a_validation_reports_and_the_one_after_finds_no_drift(http: httpx.Client) -> None:
    add_credits(http, "validated")
    charge(http, "validated", 5)

    http.post("/admin/validate")
    report = http.post("/admin/validate", json={"repair": False}).json()
    listed = http.get("/admin/sweeps", params={"job": "sweep", "limit": 1}).json()

    assert report["checked"] >= 1
    assert report["drift"] == 0.0
    assert "validated" not in report["users"]
    assert listed[0]["job"] == "sweep"


def test_commands_tell_what_the_service_did(service: RunningService, http: httpx.Client) -> None:
    add_credits(http, "commanded")

    synced = service.command("sync")
    synced_one = service.command("sync", "--user", "commanded")
    validated = service.command("validate")
    validated_only = service.command("validate", "--no-repair")
    shown = service.command("status")

    for done in (synced, synced_one, validated, validated_only, shown):
        assert done.returncode == 0, done.stdout + done.stderr
    assert "1 checked" in synced_one.stdout
    assert "drift 0" in validated_only.stdout
    assert "shard-000" in shown.stdout
    assert "last sweep" in shown.stdout
    assert "sync lag" in shown.stdout


def test_a_stop_loses_nothing_and_what_ended_meanwhile_expires_once_at_the_next_start(
    tmp_path: Path,
) -> None:
    service = RunningService(tmp_path, ALLOTMENT_SHARDS="1")
    with service, service.client() as http:
        add_credits(http, "ada")
        charged = charge(http, "ada", 30, key="k")
        added = add_credits(http, "ended").json()["subscription"]["subscription_id"]
        end = iso(datetime.now(UTC) + timedelta(seconds=4))
        http.patch(f"/subscriptions/{added}", json={"end_date": end}).raise_for_status()
        stopped = service.stop(signal.SIGINT)
    wait_until(lambda: iso(datetime.now(UTC)) > end, 10)

    with service, service.client() as http:
        database = service.mongo().allotment
        where = {"_id": ObjectId(added)}
        wait_until(
            lambda: (database.subscriptions.find_one(where) or {})["status"] == "expired",
            EXPIRY_SECONDS_MAX,
        )
        kept, again = status(http, "ada"), charge(http, "ada", 30, key="k")
        shown = status(http, "ended")
        # The document may be seen before the run that wrote it down has ended.
        wait_until(lambda: expired_of_reports(http) > 0, EXPIRY_SECONDS_MAX)
        reported = expired_of_reports(http)
        entries = list(database.allotment_journal.find({"kind": "subscription_expired"}))
        database.client.close()

    assert stopped == 0
    assert kept["remaining_credits"] == 60
    assert again.content == charged.content
    assert shown["status"] == "expired"
    assert reported == len(entries) == 1
