"""What an operator does to subscriptions over HTTP: changes one, lists all."""

from typing import Any

import pytest

from actors.auth.caller import Scope
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.shards import in_loop


async def added(http: Any, user: str = "ada") -> str:
    body = CREDITS | {"user_id": user}
    answer = await http.post("/subscription/credits", json=body)
    return str(answer.json()["subscription"]["subscription_id"])


@in_loop
async def test_a_change_is_in_the_record_the_status_and_the_document_when_it_answers() -> None:
    async with edge() as (http, backend):
        path = f"/subscriptions/{await added(http)}"

        changed = await http.patch(
            path, json={"status": "paused", "end_date": "2026-03-20T00:00:00Z"}
        )

        shown = await http.get("/subscription/status", params={"user_id": "ada"})
        record = (await http.get("/subscriptions/ada")).json()["subscriptions"][0]
        refused = await http.post("/subscription/usage", json=USAGE)
    (document,) = backend.shards.store.collections["subscriptions"].values()
    assert changed.status_code == 200
    assert changed.json() == record
    assert (record["status"], record["end_date"]) == ("paused", "2026-03-20T00:00:00Z")
    assert shown.json()["status"] == document["status"] == "paused"
    assert refused.json()["code"] == "no_active_subscription"


@in_loop
async def test_a_repeated_change_is_answered_once_and_its_key_refuses_another() -> None:
    async with edge() as (http, _):
        path = f"/subscriptions/{await added(http)}"
        key = {"Idempotency-Key": "k-1"}

        first = await http.patch(path, json={"status": "cancelled"}, headers=key)
        again = await http.patch(path, json={"status": "cancelled"}, headers=key)
        other = await http.patch(path, json={"status": "active"}, headers=key)

    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "none"},
        {"status": "odd"},
        {"status": None},
        {"end_date": "tomorrow"},
        {"end_date": "2026-03-20T00:00:00"},
        {"end_date": "2026-03-10T12:00:00Z"},
        {"status": "active", "total_credits": 5},
    ],
)
@in_loop
async def test_a_change_that_cannot_be_is_refused(body: dict[str, Any]) -> None:
    async with edge() as (http, _):
        answer = await http.patch(f"/subscriptions/{await added(http)}", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@in_loop
async def test_a_subscription_that_is_not_there_is_not_found() -> None:
    async with edge() as (http, _):
        answer = await http.patch(f"/subscriptions/{'0' * 24}", json={"status": "paused"})

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@in_loop
async def test_all_subscriptions_are_listed_page_by_page_and_by_status() -> None:
    async with edge() as (http, backend):
        ids = sorted([await added(http, f"u-{n}") for n in range(3)])
        await backend.shards.shard.settle()

        first = (await http.get("/subscriptions", params={"limit": 2})).json()
        rest = await http.get("/subscriptions", params={"limit": 2, "cursor": first["next_cursor"]})
        none = await http.get("/subscriptions", params={"status": "paused"})
        odd = await http.get("/subscriptions", params={"status": "odd"})

    found = [r["subscription_id"] for r in first["items"] + rest.json()["items"]]
    assert found == ids
    assert rest.json()["next_cursor"] is None
    assert none.json() == {"items": [], "next_cursor": None}
    assert odd.status_code == 422


@pytest.mark.parametrize("scope", [Scope.READ, Scope.WRITE])
@in_loop
async def test_only_an_operator_may_list_and_change(scope: Scope) -> None:
    async with edge(scope) as (http, _):
        listed = await http.get("/subscriptions")
        changed = await http.patch("/subscriptions/x", json={"status": "paused"})

    assert listed.status_code == changed.status_code == 403


@in_loop
async def test_what_the_database_cannot_answer_is_to_be_tried_again() -> None:
    async with edge() as (http, backend):
        subscription_id = await added(http)
        backend.shards.store.unavailable = True

        listed = await http.get("/subscriptions")
        changed = await http.patch(f"/subscriptions/{subscription_id}", json={"status": "paused"})

    assert listed.json()["code"] == changed.json()["code"] == "storage_unavailable"
