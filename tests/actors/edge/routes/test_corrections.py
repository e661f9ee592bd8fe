"""Packs, reversals and adjustments over HTTP and from Python, on a shard in this process."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from actors.auth.caller import Scope
from actors.client.asynchronous import AsyncAllotment
from actors.protocol.errors import (
    AlreadyReversedError,
    InsufficientCreditsError,
    InvalidRequestError,
    UsageNotFoundError,
)
from tests.builders.authors import NOON
from tests.fakes.edge import CREDITS, PAYMENT, USAGE, LocalBackend, edge
from tests.fakes.shards import in_loop

PACK = {
    "user_id": "ada",
    "amount": 1111,
    "kind": "pack",
    "payment": PAYMENT | {"transaction_id": "of the pack"},
}
NOW = "2026-03-10T12:00:00Z"
LATER = "2026-03-12T12:00:00Z"
NOBODYS = "a" * 24


async def given(http: httpx.AsyncClient) -> None:
    """Give ada 90 today and a pack of 1,000."""
    for body in (CREDITS, PACK):
        assert (await http.post("/subscription/credits", json=body)).status_code == 201


async def charged(http: httpx.AsyncClient, amount: int, **fields: Any) -> dict[str, Any]:
    answer = await http.post("/subscription/usage", json=USAGE | {"credit_amount": amount} | fields)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def left(http: httpx.AsyncClient) -> tuple[int, int, int]:
    """Return what a status says is left: of the day, of packs, of both."""
    shown = (await http.get("/subscription/status", params={"user_id": "ada"})).json()
    return shown["day_remaining_credits"], shown["pack_credits"], shown["remaining_credits"]


def reversals(usage_id: str) -> str:
    return f"/subscription/usage/{usage_id}/reversals"


# --- packs --------------------------------------------------------------------------------


@in_loop
async def test_a_pack_is_bought_and_spent_behind_the_day() -> None:
    async with edge() as (http, _):
        await given(http)
        more = {"expires_at": LATER, "priority": 10, "category": "promotional"}
        bought = await http.post(
            "/subscription/credits",
            json=PACK | more | {"payment": PAYMENT | {"transaction_id": "p2"}},
        )
        charge = await charged(http, 120)
        listed = (await http.get("/subscriptions/ada")).json()["packs"]
        after = await left(http)

    answer = bought.json()
    assert (answer["kind"], answer["days"], answer["grant_id"]) == ("pack", None, None)
    assert (answer["amount"], answer["system_portion"], answer["spendable_credits"]) == (
        1111,
        111,
        1000,
    )
    assert answer["expires_at"] == LATER
    assert charge["sources"] == [
        {"source": "day", "date": "2026-03-10T00:00:00Z", "credit_amount": 90},
        {"source": "pack", "pack_id": answer["pack_id"], "credit_amount": 30},
    ]
    assert (charge["remaining_credits"], charge["uncovered_credits"], charge["late"]) == (
        1970,
        0,
        False,
    )
    assert after == (0, 1970, 1970)
    assert [(p["priority"], p["category"], p["remaining_credits"]) for p in listed] == [
        (10, "promotional", 970),
        (50, "paid", 1000),
    ]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"days": 3}, "days"),
        ({"expires_at": NOW}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"priority": 101}, "priority"),
        ({"priority": -1}, "priority"),
        ({"category": "adjustment"}, "category"),
        ({"kind": "weekly"}, "kind"),
        ({"kind": "daily"}, "days"),
        ({"kind": "daily", "days": 1, "expires_at": LATER}, "expires_at"),
        ({"kind": "daily", "days": 1, "priority": 1}, "priority"),
        ({"kind": "daily", "days": 1, "category": "paid"}, "category"),
    ],
)
@in_loop
async def test_what_a_pack_cannot_be_is_named(fields: dict[str, Any], wrong: str) -> None:
    async with edge() as (http, _):
        answer = await http.post("/subscription/credits", json=PACK | fields)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert wrong in [error["field"] for error in answer.json()["errors"]]


@in_loop
async def test_a_pack_alone_can_be_spent_and_no_day_can_help_where_it_is_used_up() -> None:
    async with edge() as (http, _):
        none = await http.post("/subscription/usage", json=USAGE)
        await http.post("/subscription/credits", json=PACK)
        status = await http.get("/subscription/status", params={"user_id": "ada"})
        charge = await charged(http, 400)
        refused = await http.post("/subscription/usage", json=USAGE | {"credit_amount": 601})

    assert none.json()["code"] == "no_active_subscription"
    assert (status.json()["status"], status.json()["remaining_credits"]) == ("none", 1000)
    assert charge["subscription_id"] is None
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (402, "insufficient_credits")
    assert (problem["limit"], problem["remaining_credits"], problem["available_at"]) == (
        "credits",
        600,
        None,
    )
    assert "retry-after" not in refused.headers


@in_loop
async def test_usage_batches_and_settlements_charge_what_is_there() -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        capped = await charged(http, 50, on_insufficient="cap")
        hold = {"user_id": "ada", "credit_amount": 100}
        too_much = await http.post("/subscription/holds", json=hold | {"at_least": 101})
        refused = await http.post("/subscription/holds", json=hold | {"at_least": 41})
        placed = await http.post("/subscription/holds", json=hold | {"at_least": 30})
        path = f"/subscription/holds/{placed.json()['hold_id']}/settle"
        rejected = await http.post(path, json={"credit_amount": 70, "on_insufficient": "reject"})
        settled = await http.post(path, json={"credit_amount": 70})
        batch = await http.post(
            "/subscription/usage/batch", json={"records": [USAGE | {"on_insufficient": "cap"}]}
        )

    assert (capped["credit_amount"], capped["uncovered_credits"]) == (50, 0)
    assert (too_much.status_code, too_much.json()["errors"][0]["field"]) == (422, "at_least")
    assert (refused.status_code, refused.json()["code"]) == (402, "insufficient_credits")
    assert (placed.status_code, placed.json()["credit_amount"]) == (201, 40)
    assert rejected.status_code == 402
    assert (settled.json()["credit_amount"], settled.json()["uncovered_credits"]) == (40, 30)
    (result,) = batch.json()["results"]
    assert result["status"] == 201
    assert (result["record"]["credit_amount"], result["record"]["uncovered_credits"]) == (0, 30)
    assert result["record"]["sources"] == []


# --- reversals ----------------------------------------------------------------------------


@in_loop
async def test_a_charge_goes_back_in_parts_to_where_it_came_from() -> None:
    async with edge() as (http, _):
        await given(http)
        usage_id = (await charged(http, 100))["usage_id"]
        url, body = reversals(usage_id), {"credit_amount": 30, "reason": "the job has failed"}
        part = await http.post(url, json=body)
        between = await left(http)
        too_much = await http.post(url, json=body | {"credit_amount": 71})
        rest = await http.post(reversals(usage_id.upper()), json={"reason": "all of it"})
        over = await http.post(url, json={"reason": "once more"})
        after = await left(http)

    assert part.status_code == 201
    assert part.json() | {"reversal_id": ""} == {
        "reversal_id": "",
        "usage_id": usage_id,
        "user_id": "ada",
        "credit_amount": 30,
        "returned_credits": 30,
        "lapsed_credits": 0,
        "reversed_credits": 30,
        "remaining_credits": 1020,
        "low_credits": False,
        "as_of": "2026-03-10T12:00:00Z",
    }
    assert between == (20, 1000, 1020)
    assert (too_much.status_code, too_much.json()["errors"][0]["field"]) == (422, "credit_amount")
    assert (rest.json()["credit_amount"], rest.json()["reversed_credits"]) == (70, 100)
    assert (over.status_code, over.json()["code"]) == (409, "already_reversed")
    assert after == (90, 1000, 1090)


@in_loop
async def test_a_reversal_is_done_once_a_key_and_seen_in_lists_months_and_the_history() -> None:
    async with edge() as (http, _):
        await given(http)
        url = reversals((await charged(http, 100))["usage_id"])
        body, key = {"credit_amount": 30, "reason": "it failed"}, {"Idempotency-Key": "r"}
        first = await http.post(url, json=body, headers=key)
        again = await http.post(url, json=body, headers=key)
        reused = await http.post(url, json=body | {"credit_amount": 31}, headers=key)
        usage = (await http.get("/subscription/usage?user_id=ada")).json()["items"]
        month = "/subscription/usage/monthly?user_id=ada&month=2026-03"
        sums = (await http.get(month)).json()
        history = (await http.get("/subscriptions/ada/history")).json()["items"]

    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert [record["reversed_credits"] for record in usage] == [30]
    assert (sums["credit_amount"], sums["reversed_credits"]) == (70, 30)
    (entry,) = [item for item in history if item["kind"] == "usage_reversed"]
    assert entry["by"].startswith("key:")
    assert entry["change"]["reason"] == "it failed"


@pytest.mark.parametrize("unknown", [NOBODYS, "x", "1", "%00", "a" * 23, "é", str(UUID(int=1))])
@in_loop
async def test_a_charge_that_nobody_made_is_unknown(unknown: str) -> None:
    async with edge() as (http, _):
        answer = await http.post(reversals(unknown), json={"reason": "none"})

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "r", "credit_amount": 0}, "credit_amount"),
        ({"reason": "r", "credit_amount": -1}, "credit_amount"),
        ({"reason": "r", "credit_amount": True}, "credit_amount"),
        ({"reason": "r", "credit_amount": 2**53}, "credit_amount"),
        ({"reason": "r", "user_id": "ada"}, "user_id"),
    ],
)
@in_loop
async def test_what_is_wrong_with_a_reversal_is_named(body: dict[str, Any], wrong: str) -> None:
    async with edge() as (http, _):
        answer = await http.post(reversals(NOBODYS), json=body)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [wrong]


@in_loop
async def test_a_charge_that_no_document_shows_yet_is_reversed() -> None:
    async with edge() as (http, backend):
        await given(http)
        found = backend.overview.charged
        asked: list[str] = []

        def late(usage_id: str) -> Any:
            asked.append(usage_id)
            return found(usage_id) if len(asked) > 1 else None

        backend.overview.charged = late  # type: ignore[method-assign]
        usage_id = (await charged(http, 5))["usage_id"]
        answer = await http.post(reversals(usage_id), json={"reason": "too soon"})

    assert answer.status_code == 201
    assert asked == [usage_id, usage_id]


@in_loop
async def test_a_reversal_while_the_database_is_away_is_to_be_repeated() -> None:
    async with edge() as (http, backend):
        backend.shards.store.fail_next("charged")
        answer = await http.post(reversals(NOBODYS), json={"reason": "none"})

    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")


# --- adjustments --------------------------------------------------------------------------


@in_loop
async def test_a_balance_is_given_to_taken_from_and_set() -> None:
    async with edge(scope=Scope.ADMIN) as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        url, base = "/subscription/adjustments", {"user_id": "ada", "reason": "support"}
        up = await http.post(url, json=base | {"credit_amount": 10, "expires_at": LATER})
        taken = await http.post(url, json=base | {"credit_amount": -95})
        refused = await http.post(url, json=base | {"credit_amount": -6})
        in_debt = await http.post(url, json=base | {"credit_amount": -6, "allow_debt": True})

    pack_id = up.json()["pack_id"]
    assert up.status_code == 201
    assert up.json() | {"adjustment_id": ""} == {
        "adjustment_id": "",
        "user_id": "ada",
        "credit_amount": 10,
        "sources": [],
        "pack_id": pack_id,
        "remaining_credits": 100,
        "as_of": "2026-03-10T12:00:00Z",
    }
    assert [(s["source"], s["credit_amount"]) for s in taken.json()["sources"]] == [
        ("day", 90),
        ("pack", 5),
    ]
    assert taken.json()["remaining_credits"] == 5
    assert (refused.status_code, refused.json()["remaining_credits"]) == (402, 5)
    assert (refused.json()["limit"], refused.json()["required_credits"]) == ("daily", 6)
    assert in_debt.json()["remaining_credits"] == -1


@in_loop
async def test_what_is_left_is_set_to_a_number_once_a_key() -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        url, base = "/subscription/adjustments", {"user_id": "ada", "reason": "support"}
        key = {"Idempotency-Key": "to 591"}
        set_to = await http.post(url, json=base | {"remaining_credits": 591}, headers=key)
        again = await http.post(url, json=base | {"remaining_credits": 591}, headers=key)
        nothing = await http.post(url, json=base | {"remaining_credits": 591})
        past = await http.post(url, json=base | {"credit_amount": 1, "expires_at": NOW})
        nobody = await http.post(url, json=base | {"user_id": "new", "credit_amount": -1})

    assert (set_to.json()["credit_amount"], set_to.json()["remaining_credits"]) == (501, 591)
    assert again.content == set_to.content
    assert (nothing.json()["credit_amount"], nothing.json()["pack_id"]) == (0, None)
    assert (past.status_code, past.json()["errors"][0]["field"]) == (422, "expires_at")
    assert (nobody.status_code, nobody.json()["code"]) == (402, "no_active_subscription")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, "body"),
        ({"credit_amount": 1, "remaining_credits": 1}, "body"),
        ({"credit_amount": 2**53}, "credit_amount"),
        ({"credit_amount": -(2**53)}, "credit_amount"),
        ({"credit_amount": 1.5}, "credit_amount"),
        ({"remaining_credits": -1}, "remaining_credits"),
        ({"remaining_credits": "1"}, "remaining_credits"),
        ({"credit_amount": 1, "reason": ""}, "reason"),
        ({"credit_amount": 1, "allow_debt": 1}, "allow_debt"),
    ],
)
@in_loop
async def test_what_is_wrong_with_an_adjustment_is_named(
    fields: dict[str, Any], wrong: str
) -> None:
    body = {"user_id": "ada", "reason": "support"} | fields
    async with edge(scope=Scope.ADMIN) as (http, _):
        answer = await http.post("/subscription/adjustments", json=body)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [wrong]


# --- Python -------------------------------------------------------------------------------


def client_of(backend: LocalBackend) -> AsyncAllotment:
    return AsyncAllotment(backend.router, backend.operations)


@in_loop
async def test_a_program_buys_packs_and_reverses() -> None:
    async with edge() as (_, backend):
        client = client_of(backend)
        await client.add_credit("ada", 3000, 30, PAYMENT)
        pack = await client.add_credit(
            "ada",
            1111,
            kind="pack",
            payment=PAYMENT | {"transaction_id": "p"},
            expires_at=NOON + timedelta(days=2),
            priority=10,
            category="promotional",
        )
        usage_id = (await client.record_usage("ada", "chat", 100)).usage_id
        part = await client.reverse("ada", usage_id, "it failed", credit_amount=30)
        rest = await client.reverse("ada", usage_id.upper(), "it failed")
        with pytest.raises(AlreadyReversedError):
            await client.reverse("ada", usage_id, "it failed")
        with pytest.raises(UsageNotFoundError):
            await client.reverse("ada", NOBODYS, "it failed")
        with pytest.raises(InvalidRequestError):
            await client.reverse("ada", usage_id, "")
        with pytest.raises(InvalidRequestError):
            await client.add_credit("ada", 3000, 30)

    assert (pack.kind, pack.days, pack.expires_at) == ("pack", None, NOON + timedelta(days=2))
    assert (part.returned_credits, rest.returned_credits) == (30, 70)


@in_loop
async def test_a_program_adjusts_and_charges_what_is_there() -> None:
    async with edge() as (_, backend):
        client = client_of(backend)
        await client.add_credit("ada", 3000, 30, PAYMENT)
        up = await client.adjust("ada", "an apology", credit_amount=10)
        to = await client.adjust("ada", "a wish", remaining_credits=20)
        with pytest.raises(InsufficientCreditsError) as caught:
            await client.adjust("ada", "too much", credit_amount=-21)
        with pytest.raises(InvalidRequestError):
            await client.adjust("ada", "neither")
        hold = await client.hold("ada", "chat", 100, at_least=1)
        settled = await client.settle(hold.hold_id, 50)
        capped, refused = await client.record_usages(
            [USAGE | {"on_insufficient": "cap"}, USAGE | {"on_insufficient": "reject"}]
        )
        (status,) = await client.check_daily_allocations(["ada"])

    assert (up.remaining_credits, to.credit_amount, to.remaining_credits) == (100, -80, 20)
    assert caught.value.shortfall is not None
    assert caught.value.shortfall.remaining_credits == 20
    assert (hold.credit_amount, settled.credit_amount, settled.uncovered_credits) == (20, 20, 30)
    assert not isinstance(capped, Exception)
    assert (capped.credit_amount, capped.uncovered_credits) == (0, 30)
    assert isinstance(refused, InsufficientCreditsError)
    assert (status.day_remaining_credits, status.pack_credits) == (0, 0)


@in_loop
async def test_a_block_that_cost_more_than_is_there_is_charged_what_is_there() -> None:
    async with edge() as (_, backend):
        client = client_of(backend)
        await client.add_credit("ada", 3000, 30, PAYMENT)
        async with client.holding("ada", "chat", 40) as block:
            block.report(200)

    assert block.usage is not None
    assert (block.usage.credit_amount, block.usage.uncovered_credits) == (90, 110)
