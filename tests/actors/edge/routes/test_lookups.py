"""What operators look up: refused requests of all users, and the price list in force."""

from typing import Any

import pytest

from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.shards import in_loop

ONE = "[[prices]]\nservice = 'chat'\ncredits_per_unit = 0.25\nunit_size = 1000\n"


@in_loop
async def test_what_was_refused_is_listed_with_who_asked_and_when_it_would_pass() -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        keyed = {"Idempotency-Key": "job-1"}
        refused = await http.post(
            "/subscription/usage", json=USAGE | {"credit_amount": 500}, headers=keyed
        )
        await http.post("/subscription/usage", json=USAGE | {"credit_amount": 501})
        page = (await http.get("/admin/refusals")).json()

    problem: dict[str, Any] = refused.json()
    (row,) = page["items"]
    assert page["next_cursor"] is None
    assert row["by"].startswith("key:")
    assert row["required_credits"] == 500
    for told, field in (
        (row["reason"], "code"),
        (row["limit"], "limit"),
        (row["remaining_credits"], "remaining_credits"),
        (row["available_at"], "available_at"),
    ):
        assert told == problem[field]
    assert (row["user_id"], row["idempotency_key"]) == ("ada", "job-1")


@pytest.mark.parametrize("path", ["/admin/refusals?cursor=nonsense", "/admin/refusals?limit=x"])
@in_loop
async def test_a_cursor_that_no_page_gave_is_refused(path: str) -> None:
    async with edge() as (http, _):
        assert (await http.get(path)).status_code == 422


@pytest.mark.parametrize(("text", "services"), [("", []), (ONE, ["chat"])])
@in_loop
async def test_the_list_in_force_is_shown(text: str, services: list[str]) -> None:
    async with edge() as (http, backend):
        backend.memory_prices.keep(text)
        answer = await http.get("/admin/prices")

    assert [one["service"] for one in answer.json()["prices"]] == services


@pytest.mark.parametrize("spoilt", [True, False])
@in_loop
async def test_a_list_that_cannot_be_read_is_said(*, spoilt: bool) -> None:
    async with edge() as (http, backend):
        backend.memory_prices.keep("prices = 5")
        backend.memory_prices.is_away = not spoilt
        answer = await http.get("/admin/prices")

    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
