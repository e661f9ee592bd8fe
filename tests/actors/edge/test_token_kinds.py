"""Tokens by kind over HTTP and from Python: kept with the charge, priced, and told where told."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from actors.client.asynchronous import AsyncAllotment
from actors.protocol.errors import InvalidRequestError
from domain.api.answers import TokenCounts, UsageRecordResponse
from domain.pricing import Price, PriceList, Rates
from domain.usage_facts import KINDS
from domain.values import CREDITS_MAX
from tests.fakes.edge import CREDITS, LocalBackend, edge
from tests.fakes.shards import in_loop

PRICE = Price("*", "m-*", Decimal(9), 1000, by_kind=Rates(*map(Decimal, ("2", "8", "1", "3", "4"))))
TOLD = {"input": 1000, "output": 500, "reasoning": 250}
ALL = {"input": 1000, "output": 500, "cache_read": 0, "cache_write": 0, "reasoning": 250}
USAGE = {"user_id": "ada", "service_type": "chat", "model_used": "m-1"}
BY_KIND = USAGE | {"tokens": TOLD}
SPAN = {"user_id": "ada", "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}


async def ready(http: httpx.AsyncClient, backend: LocalBackend) -> None:
    shard = backend.shards.shard
    shard.policy = replace(shard.policy, prices=PriceList((PRICE,)))
    await http.post("/subscription/credits", json=CREDITS)


async def settled(http: httpx.AsyncClient, **cost: Any) -> httpx.Response:
    hold = USAGE | {"credit_amount": 10, "token_count": 5}
    held = (await http.post("/subscription/holds", json=hold)).json()["hold_id"]
    return await http.post(f"/subscription/holds/{held}/settle", json=cost)


@in_loop
async def test_a_charge_a_record_of_a_batch_and_a_settlement_tell_their_tokens_by_kind() -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        charge = (await http.post("/subscription/usage", json=BY_KIND)).json()
        batch = await http.post("/subscription/usage/batch", json={"records": [BY_KIND]})
        settlement = (await settled(http, tokens=TOLD)).json()
        page = (await http.get("/subscription/usage", params=SPAN)).json()["items"]

    for told in (charge, batch.json()["results"][0]["record"], settlement, *page):
        assert (told["tokens"], told["token_count"]) == (ALL, 1750)
        assert told["credit_amount"] == 7  # 2 + 4 + 1, of a thousand each.
    rates = {"input": "2", "output": "8", "cache_read": "1", "cache_write": "3", "reasoning": "4"}
    assert [one["price"]["by_kind"] for one in page] == [rates] * 3
    assert [one["price"]["credits_per_unit"] for one in page] == ["9"] * 3


@in_loop
async def test_where_none_are_told_by_kind_no_answer_has_a_word_of_it() -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        plain = Price("*", "plain", Decimal(1), 1000)
        shard = backend.shards.shard
        shard.policy = replace(shard.policy, prices=PriceList((plain, PRICE)))
        answers = [
            await http.post("/subscription/usage", json=USAGE | {"credit_amount": 1}),
            await http.post(
                "/subscription/usage", json=USAGE | {"token_count": 9, "model_used": "plain"}
            ),
            await settled(http, credit_amount=1),
            await http.get("/subscription/usage", params=SPAN),
            await http.get(
                "/subscription/usage/monthly", params={"user_id": "ada", "month": "2026-03"}
            ),
            await http.get("/subscriptions/ada/history"),
        ]

    for answer in answers:
        assert answer.is_success
        assert '"tokens"' not in answer.text
        assert "by_kind" not in answer.text


@pytest.mark.parametrize(
    ("told", "count", "credit_amount"),
    [
        (USAGE | {"tokens": {"input": 1}}, 1, 1),
        (USAGE | {"tokens": {"input": 0}}, 0, 0),
        (USAGE | {"tokens": {"cache_write": 1000}, "token_count": 4}, 4, 3),
        (USAGE | {"tokens": {"cache_read": 1500}}, 1500, 2),
        (USAGE | {"tokens": TOLD, "credit_amount": 5}, 1750, 5),
        (USAGE | {"token_count": 1000}, 1000, 9),
        (USAGE | {"token_count": 1000, "tokens": None}, 1000, 9),
    ],
)
@in_loop
async def test_the_count_is_the_sum_unless_told_and_the_kinds_make_the_cost(
    told: dict[str, Any], count: int, credit_amount: int
) -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        charge = (await http.post("/subscription/usage", json=told)).json()

    assert (charge["token_count"], charge["credit_amount"]) == (count, credit_amount)


@pytest.mark.parametrize(
    "tokens",
    [
        {},
        [],
        5,
        {"input": -1},
        {"input": 1.5},
        {"input": "1"},
        {"input": True},
        {"input": None},
        {"audio": 1},
        {"input": CREDITS_MAX + 1},
        {"input": CREDITS_MAX, "output": 1},
    ],
    ids=str,
)
@in_loop
async def test_what_are_no_tokens_by_kind_is_refused_by_name(tokens: Any) -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        charge = await http.post("/subscription/usage", json=USAGE | {"tokens": tokens})
        batch = await http.post(
            "/subscription/usage/batch", json={"records": [USAGE | {"tokens": tokens}]}
        )
        settlement = await settled(http, tokens=tokens)

    for problem in (charge.json(), batch.json()["results"][0]["problem"], settlement.json()):
        assert problem["code"] == "invalid_request"
        assert [error["field"].split(".")[0] for error in problem["errors"]] == ["tokens"]


@in_loop
async def test_a_repeat_is_known_by_its_kinds() -> None:
    key = {"Idempotency-Key": "k"}
    other = USAGE | {"tokens": {"input": 1750}}
    async with edge() as (http, backend):
        await ready(http, backend)
        first = await http.post("/subscription/usage", json=BY_KIND, headers=key)
        again = await http.post("/subscription/usage", json=BY_KIND, headers=key)
        reused = await http.post("/subscription/usage", json=other, headers=key)

    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert reused.json()["code"] == "idempotency_key_reused"


@in_loop
async def test_a_settlement_that_tells_a_count_alone_is_priced_by_the_rate_of_others() -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        settlement = (await settled(http, token_count=1000)).json()

    assert (settlement["credit_amount"], settlement["token_count"]) == (9, 1000)
    assert "tokens" not in settlement


@in_loop
async def test_python_tells_tokens_by_kind() -> None:
    async with edge() as (http, backend):
        await ready(http, backend)
        client = AsyncAllotment(backend.router, backend.operations)
        charge = await client.record_usage("ada", "chat", model_used="m-1", tokens=TOLD)
        hold = await client.hold("ada", "chat", 10)
        settlement = await client.settle(hold.hold_id, tokens=TOLD, model_used="m-1")
        async with client.holding("ada", "chat", 10) as holding:
            holding.report(tokens=TOLD, model_used="m-1")
        (record,) = await client.record_usages([BY_KIND])
        with pytest.raises(InvalidRequestError, match="tokens"):
            await client.record_usage("ada", "chat", model_used="m-1", tokens={"audio": 1})

    assert isinstance(record, UsageRecordResponse)
    for told in (charge, settlement, holding.usage, record):
        assert told is not None
        assert (told.tokens, told.credit_amount) == (TokenCounts(**ALL), 7)
    assert set(ALL) == set(KINDS)
