"""The sums of the last days: of which days they are, and of whose."""

from typing import Any

import httpx
import pytest

from actors.protocol.queries import RECENT_DAYS_MAX
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.shards import in_loop

ZONE = {"timezone": "Pacific/Auckland"}  # At noon UTC on 10 March it is one o'clock on the 11th.


async def charge(http: httpx.AsyncClient, amount: int, at: str, **more: str) -> None:
    """Charge for what was done at a moment."""
    body = USAGE | {"credit_amount": amount, "timestamp": at} | more
    (await http.post("/subscription/usage", json=body)).raise_for_status()


async def recent(http: httpx.AsyncClient, query: str = "") -> dict[str, Any]:
    answer = await http.get(f"/subscription/usage/recent?user_id=ada{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def amounts(sums: dict[str, dict[str, int]]) -> dict[str, int]:
    return {name: one["credit_amount"] for name, one in sums.items()}


@in_loop
async def test_the_days_are_of_the_users_zone_and_today_is_the_last_of_them() -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS | ZONE)
        await charge(http, 1, "2026-03-09T10:59:59Z")  # The second before the 10th.
        await charge(http, 2, "2026-03-09T11:00:00Z", model_used="m-1")
        await charge(http, 4, "2026-03-10T10:59:59Z", service_type="image")
        await charge(http, 8, "2026-03-10T11:00:00Z")
        two = await recent(http, "&days=2")
        one = await recent(http, "&days=1")
        thirty = await recent(http)

    assert (two["first_day"], two["last_day"]) == ("2026-03-10", "2026-03-11")
    assert amounts(two["by_day"]) == {"2026-03-10": 6, "2026-03-11": 8}
    assert amounts(two["by_service"]) == {"chat": 10, "image": 4}
    assert amounts(two["by_model"]) == {"m-1": 2}
    assert (two["records"], two["credit_amount"], two["user_id"]) == (3, 14, "ada")
    assert (one["first_day"], one["last_day"], one["credit_amount"]) == (*["2026-03-11"] * 2, 8)
    assert (thirty["first_day"], thirty["credit_amount"]) == ("2026-02-10", 15)


@in_loop
async def test_of_a_user_without_records_the_sums_are_nothing() -> None:
    async with edge() as (http, _):
        found = await recent(http, f"&days={RECENT_DAYS_MAX}")

    assert (found["records"], found["credit_amount"]) == (0, 0)
    assert found["by_service"] == found["by_model"] == found["by_day"] == {}


@pytest.mark.parametrize("days", ["-1", "0", "1.5", "many", ""])
@in_loop
async def test_days_that_are_no_number_of_them_are_refused(days: str) -> None:
    async with edge() as (http, _):
        answer = await http.get(f"/subscription/usage/recent?user_id=ada&days={days}")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "days")
