"""Users as an operator asks for them over HTTP: who has the least left, and who is made anonymous."""

import re
from typing import Any

import httpx
import pytest

from actors.janitor import anonymization
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.shards import in_loop

MODE = {"mode": "anonymize"}


async def delete(http: httpx.AsyncClient, user: str, **headers: str) -> httpx.Response:
    """Ask for a user to be made anonymous."""
    return await http.request("DELETE", f"/users/{user}", json=MODE, headers=headers)


async def spend(http: httpx.AsyncClient, user: str, amount: int) -> None:
    await http.post("/subscription/credits", json=CREDITS | {"user_id": user})
    await http.post("/subscription/usage", json=USAGE | {"user_id": user, "credit_amount": amount})


@pytest.mark.parametrize(
    ("query", "users"),
    [
        ("", ["bob", "eve", "ada"]),
        ("?order=least&limit=2", ["bob", "eve"]),
        ("?order=most", ["ada", "eve", "bob"]),
    ],
)
@in_loop
async def test_users_are_listed_by_what_they_have_left(query: str, users: list[str]) -> None:
    async with edge() as (http, _):
        for user, amount in (("ada", 1), ("bob", 89), ("eve", 60)):
            await spend(http, user, amount)
        await http.get("/subscription/status", params={"user_id": "nobody"})
        ranked = (await http.get(f"/admin/users{query}")).json()
        status = await http.get("/subscription/status", params={"user_id": users[0]})

    assert [one["user_id"] for one in ranked["items"]] == users
    assert ranked["items"][0] == status.json()
    assert (ranked["users"], ranked["looked_at"]) == (4, 4)


@in_loop
async def test_what_users_have_left_is_as_of_now_though_they_were_chosen_before() -> None:
    async with edge() as (http, _):
        await spend(http, "ada", 1)
        await spend(http, "bob", 2)
        before = (await http.get("/admin/users")).json()
        await spend(http, "ada", 80)
        after = (await http.get("/admin/users")).json()

    assert [one["user_id"] for one in before["items"]] == ["bob", "ada"]
    assert [one["user_id"] for one in after["items"]] == ["ada", "bob"]
    assert after["items"][0]["credits_used"] == 81


@in_loop
async def test_no_ranking_is_given_without_one_of_the_shards() -> None:
    async with edge() as (http, backend):
        backend.shards.lost = True
        lost = await http.get("/admin/users")
        wrong = await http.get("/admin/users?order=alphabet")

    assert (lost.status_code, lost.json()["code"]) == (503, "storage_unavailable")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")


@in_loop
async def test_it_is_reported_and_nobody_is_told_whose_it_was() -> None:
    async with edge() as (http, backend):
        await http.post("/subscription/credits", json=CREDITS)

        done = await delete(http, "ada")
        listed = await http.get("/admin/anonymizations")

    assert done.status_code == 200
    report: dict[str, Any] = done.json()
    assert report["anonymous_id"].startswith("anon-")
    assert report["documents"] == {"usages": 1}
    assert (report["step"], report["waits_for"]) == ("done", None)
    assert report["by"].startswith("key:")
    assert report["finished_at"] is not None
    assert listed.json() == [report]
    assert not re.search(r"\bada\b", done.text)  # Ids of chance may have these letters amid others.
    steps = ["fence", "seal", "settle", "rename", "rename", "lift"]
    assert backend.papers.steps == steps


@in_loop
async def test_a_repeat_gets_the_first_answer_and_another_user_is_refused() -> None:
    async with edge() as (http, _):
        first = await delete(http, "ada", **{"Idempotency-Key": "k-1"})
        repeat = await delete(http, "ada", **{"Idempotency-Key": "k-1"})
        other = await delete(http, "bob", **{"Idempotency-Key": "k-1"})
        anew = await delete(http, "ada")

    assert "idempotent-replayed" not in first.headers
    assert repeat.headers["idempotent-replayed"] == "true"
    assert (repeat.status_code, repeat.json()) == (200, first.json())
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (anew.json()["documents"], anew.json()["anonymous_id"]) == ({}, None)


@in_loop
async def test_one_that_takes_long_is_answered_before_it_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(anonymization, "ANSWER_SECONDS_MAX", 0.05)
    async with edge() as (http, backend):
        backend.shards.lost = True

        begun = await delete(http, "ada", **{"Idempotency-Key": "k-1"})
        backend.shards.lost = False
        listed = await http.get("/admin/anonymizations")
        while (again := await delete(http, "ada", **{"Idempotency-Key": "k-1"})).status_code == 503:
            assert again.json()["code"] == "storage_unavailable"

    assert (begun.status_code, begun.headers["retry-after"]) == (503, "1")
    assert "goes on" in begun.json()["title"]
    (running,) = listed.json()
    assert (running["step"], running["finished_at"]) == ("fencing", None)
    assert again.json()["anonymization_id"] == running["anonymization_id"]
    assert again.json()["finished_at"] is not None


@pytest.mark.parametrize("body", [None, {}, {"mode": "erase"}, {"mode": "anonymize", "x": 1}])
@in_loop
async def test_the_mode_has_to_be_said(body: dict[str, Any] | None) -> None:
    async with edge() as (http, backend):
        refused = await http.request("DELETE", "/users/ada", json=body)

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert backend.papers.steps == []


@in_loop
async def test_a_user_id_in_the_path_is_decoded_whole() -> None:
    async with edge() as (http, backend):
        told: list[str] = []
        backend.anonymizations._renames = lambda old, _new: told.append(old)

        done = await delete(http, "org%2Fada")

    assert done.status_code == 200
    assert set(told) == {"org/ada"}
