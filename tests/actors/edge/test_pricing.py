"""Charges by tokens over HTTP and from Python, on a shard in this process."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from actors.client.asynchronous import AsyncAllotment
from actors.protocol.errors import AllotmentError, InvalidRequestError
from actors.shard.shard import Shard
from domain.api.answers import UsageRecordResponse
from domain.pricing import Price, PriceList
from tests.fakes.edge import CREDITS, LocalBackend, edge
from tests.fakes.shards import in_loop

BY_TOKENS = {"user_id": "ada", "service_type": "chat", "model_used": "m-1", "token_count": 9000}
HOLD = {"user_id": "ada", "service_type": "chat", "model_used": "m-1", "credit_amount": 10}
KEY = {"Idempotency-Key": "k"}


def set_price(shard: Shard, rate: str) -> None:
    prices = PriceList((Price("chat", "m-*", Decimal(rate), 1000),))
    shard.policy = replace(shard.policy, prices=prices)


async def ready(http: httpx.AsyncClient, backend: LocalBackend) -> None:
    set_price(backend.shards.shard, "0.25")
    await http.post("/subscription/credits", json=CREDITS)


async def used(http: httpx.AsyncClient) -> int:
    shown = await http.get("/subscription/status", params={"user_id": "ada"})
    return int(shown.json()["credits_used"])


@in_loop
async def test_a_charge_by_tokens_is_priced_kept_and_repeated_at_its_price() -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        first = await http.post("/subscription/usage", json=BY_TOKENS, headers=KEY)
        set_price(backend.shards.shard, "5")
        again = await http.post("/subscription/usage", json=BY_TOKENS, headers=KEY)
        dearer = await http.post("/subscription/usage", json=BY_TOKENS)
        span = {"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}
        page = await http.get("/subscription/usage", params={"user_id": "ada"} | span)
        history = await http.get("/subscriptions/ada/history", params={"limit": 1})

    assert (first.status_code, first.json()["credit_amount"]) == (201, 3)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert dearer.json()["credit_amount"] == 45
    rates = {
        item["credit_amount"]: item["price"]["credits_per_unit"] for item in page.json()["items"]
    }
    assert rates == {3: "0.25", 45: "5"}
    assert history.json()["items"][0]["change"]["price"]["credits_per_unit"] == "5"


@in_loop
async def test_a_settlement_by_tokens_knows_what_the_hold_said() -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        held = await http.post("/subscription/holds", json=HOLD)
        path = f"/subscription/holds/{held.json()['hold_id']}/settle"
        nothing = await http.post(path, json={"model_used": "m-1"})
        settled = await http.post(path, json={"token_count": 9000})

    assert nothing.status_code == 422
    assert nothing.json()["errors"][0]["field"] == "credit_amount"
    assert settled.status_code == 201
    charge = settled.json()
    assert (charge["credit_amount"], charge["model_used"], charge["credits_held"]) == (3, "m-1", 0)


@pytest.mark.parametrize(
    "missing", [{"token_count": None}, {"token_count": None, "model_used": None}]
)
@in_loop
async def test_what_tells_neither_an_amount_nor_tokens_is_told_what_is_missing(
    missing: dict[str, Any],
) -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        answer = await http.post("/subscription/usage", json=BY_TOKENS | missing)
        after = await used(http)

    problem = answer.json()
    assert (answer.status_code, problem["code"], after) == (422, "invalid_request", 0)
    assert problem["errors"][0]["field"] == "credit_amount"
    assert "token_count" in problem["detail"]


@pytest.mark.parametrize(
    "unknown", [{"model_used": "x"}, {"model_used": None}, {"service_type": "mail"}]
)
@in_loop
async def test_where_no_price_applies_the_answer_says_so(unknown: dict[str, Any]) -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        answer = await http.post("/subscription/usage", json=BY_TOKENS | unknown)
        after = await used(http)

    problem = answer.json()
    assert (answer.status_code, problem["code"], after) == (422, "invalid_request", 0)
    assert "no price" in problem["detail"]


@in_loop
async def test_records_of_a_batch_are_priced_each_on_its_own() -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        records = [
            BY_TOKENS,
            BY_TOKENS | {"credit_amount": 7},
            BY_TOKENS | {"model_used": "x"},
            BY_TOKENS | {"token_count": None},
        ]
        answer = await http.post("/subscription/usage/batch", json={"records": records})
        after = await used(http)

    results = answer.json()["results"]
    assert [result["status"] for result in results] == [201, 201, 422, 422]
    assert [result["record"]["credit_amount"] for result in results[:2]] == [3, 7]
    assert after == 10


@in_loop
async def test_python_charges_and_settles_by_tokens() -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        client = AsyncAllotment(backend.router, backend.operations)
        charge = await client.record_usage("ada", "chat", model_used="m-1", token_count=9000)
        hold = await client.hold("ada", "chat", 10)
        settled = await client.settle(hold.hold_id, token_count=8000, model_used="m-1")
        async with client.holding("ada", "chat", 10) as holding:
            holding.report(token_count=4000, model_used="m-1")
        batch = await client.record_usages([BY_TOKENS, BY_TOKENS | {"model_used": "x"}])
        with pytest.raises(InvalidRequestError, match="credit_amount"):
            await client.record_usage("ada", "chat", model_used="m-1")
        with pytest.raises(InvalidRequestError, match="no price"):
            await client.record_usage("ada", "chat", token_count=1)

    assert holding.usage is not None
    assert [u.credit_amount for u in (charge, settled, holding.usage)] == [3, 2, 1]
    priced, refused = batch
    assert isinstance(priced, UsageRecordResponse)
    assert priced.credit_amount == 3
    assert isinstance(refused, AllotmentError)
