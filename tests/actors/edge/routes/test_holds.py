"""Holds over HTTP and from Python, on a shard in this process."""

import contextlib
from datetime import timedelta
from typing import Any

import httpx
import pytest

from actors.auth.caller import Scope
from actors.client.asynchronous import AsyncAllotment
from actors.edge.problems import waiting
from actors.protocol.errors import HoldClosedError, HoldNotFoundError, InsufficientCreditsError
from domain.holds import make_hold_id
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.edge import CREDITS, LocalBackend, edge
from tests.fakes.shards import in_loop

HOLD = {"user_id": "ada", "credit_amount": 40, "service_type": "chat", "model_used": "m-1"}


async def held(http: httpx.AsyncClient, **fields: Any) -> str:
    await http.post("/subscription/credits", json=CREDITS | {"user_id": HOLD["user_id"]})
    answer = await http.post("/subscription/holds", json=HOLD | fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["hold_id"])


async def remaining(http: httpx.AsyncClient) -> tuple[int, int]:
    shown = await http.get("/subscription/status", params={"user_id": "ada"})
    return shown.json()["credits_held"], shown.json()["remaining_credits"]


@in_loop
async def test_a_hold_is_placed_seen_and_settled() -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        placed = await http.post("/subscription/holds", json=HOLD | {"expires_in": 60})
        seen = await http.get("/subscription/holds", params={"user_id": "ada"})
        between = await remaining(http)
        path = f"/subscription/holds/{placed.json()['hold_id']}/settle"
        body = {"credit_amount": 15, "token_count": 9, "details": {"a": 1}}
        settled = await http.post(path, json=body)
        after = await remaining(http)
        none = await http.get("/subscription/holds", params={"user_id": "ada"})

    assert placed.json() | {"hold_id": ""} == {
        "hold_id": "",
        "user_id": "ada",
        "credit_amount": 40,
        "expires_at": "2026-03-10T12:01:00Z",
        "remaining_credits": 50,
    }
    (hold,) = seen.json()["holds"]
    assert (hold["hold_id"], hold["model_used"]) == (placed.json()["hold_id"], "m-1")
    assert seen.json()["credits_held"] == 40
    assert (between, after) == ((40, 50), (0, 75))
    assert settled.status_code == 201
    charge = settled.json()
    assert (charge["credit_amount"], charge["service_type"], charge["model_used"]) == (
        15,
        "chat",
        "m-1",
    )
    assert (charge["token_count"], charge["details"]) == (9, {"a": 1})
    assert (charge["credits_used"], charge["credits_held"], charge["remaining_credits"]) == (
        15,
        0,
        75,
    )
    assert none.json() == {"user_id": "ada", "credits_held": 0, "holds": []}


@in_loop
async def test_a_settled_hold_is_closed_to_every_other_key_and_replayed_to_its_own() -> None:
    async with edge() as (http, _):
        hold_id = await held(http)
        path = f"/subscription/holds/{hold_id}"
        key = {"Idempotency-Key": "s"}
        first = await http.post(f"{path}/settle", json={"credit_amount": 4}, headers=key)
        again = await http.post(f"{path}/settle", json={"credit_amount": 4}, headers=key)
        reused = await http.post(f"{path}/settle", json={"credit_amount": 5}, headers=key)
        other = await http.post(f"{path}/settle", json={"credit_amount": 4})
        released = await http.delete(path)

    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    for closed in (other, released):
        assert (closed.status_code, closed.json()["code"]) == (409, "hold_closed")


@in_loop
async def test_a_release_has_no_body_and_is_replayed() -> None:
    async with edge() as (http, _):
        path = f"/subscription/holds/{await held(http)}"
        first = await http.delete(path, headers={"Idempotency-Key": "r"})
        again = await http.delete(path, headers={"Idempotency-Key": "r"})
        after = await remaining(http)

    assert (first.status_code, first.content) == (204, b"") == (again.status_code, again.content)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert after == (0, 90)


@in_loop
async def test_why_a_hold_was_released_is_in_the_history_with_who_did_it() -> None:
    async with edge() as (http, _):
        path = f"/subscription/holds/{await held(http)}"
        first, again, reused = [
            await http.request(
                "DELETE", path, json={"reason": reason}, headers={"Idempotency-Key": "r"}
            )
            for reason in ("The job hangs.", "The job hangs.", "A wish.")
        ]
        history = await http.get("/subscriptions/ada/history")

    assert (first.status_code, again.status_code) == (204, 204)
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    newest = history.json()["items"][0]
    assert (newest["kind"], newest["change"]["reason"]) == ("hold_freed", "The job hangs.")
    assert newest["by"]


@pytest.mark.parametrize(
    "body", [{"reason": ""}, {"reason": 5}, {"reason": "x" * 257}, {"why": "x"}]
)
@in_loop
async def test_a_release_whose_reason_cannot_be_read_releases_nothing(body: Any) -> None:
    async with edge() as (http, _):
        path = f"/subscription/holds/{await held(http)}"
        answer = await http.request("DELETE", path, json=body)
        after = await remaining(http)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert after == (40, 50)


@in_loop
async def test_an_id_that_no_hold_has_had_is_unknown() -> None:
    async with edge() as (http, _):
        hold_id = await held(http)
        answers = [
            answer
            for unknown in ("x", hold_id + "0", "a" * 24, "%00")
            for answer in (
                await http.post(f"/subscription/holds/{unknown}/settle", json={"credit_amount": 1}),
                await http.delete(f"/subscription/holds/{unknown}"),
            )
        ]

    assert {(a.status_code, a.json()["code"]) for a in answers} == {(404, "not_found")}


@pytest.mark.parametrize("name", ["a" * 128, "é\u4e2d\U0001f600" * 42, "a/b?c#d%e&f"])
@in_loop
async def test_a_hold_of_any_user_can_be_settled(name: str) -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS | {"user_id": name})
        placed = await http.post("/subscription/holds", json=HOLD | {"user_id": name})
        hold_id = placed.json()["hold_id"]
        settled = await http.post(
            f"/subscription/holds/{hold_id}/settle", json={"credit_amount": 4}
        )

    assert (settled.status_code, settled.json()["user_id"]) == (201, name)


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_in": 0},
        {"expires_in": 86_401},
        {"expires_in": 1.5},
        {"expires_in": True},
        {"credit_amount": -1},
        {"color": "red"},
        {"user_id": ""},
    ],
)
@in_loop
async def test_a_hold_that_is_not_valid_is_refused(fields: dict[str, Any]) -> None:
    async with edge() as (http, _):
        answer = await http.post("/subscription/holds", json=HOLD | fields)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"]


@in_loop
async def test_holds_need_credits_and_are_limited() -> None:
    async with edge() as (http, _):
        nobody = await http.post("/subscription/holds", json=HOLD)
        await held(http)
        short = await http.post("/subscription/holds", json=HOLD | {"credit_amount": 51})
        many = [
            await http.post("/subscription/holds", json=HOLD | {"credit_amount": 0})
            for _ in range(500)
        ]

    assert (nobody.status_code, nobody.json()["code"]) == (402, "no_active_subscription")
    assert (short.status_code, short.json()["code"]) == (402, "insufficient_credits")
    details = {k: short.json()[k] for k in ("limit", "remaining_credits", "required_credits")}
    assert details == {"limit": "daily", "remaining_credits": 50, "required_credits": 51}
    assert short.json()["available_at"] == "2026-03-11T00:00:00Z"
    assert [answer.status_code for answer in many] == [201] * 499 + [422]
    assert many[-1].json()["code"] == "invalid_request"


@in_loop
async def test_a_key_for_reading_sees_holds_and_makes_none() -> None:
    async with edge(Scope.READ) as (http, _):
        seen = await http.get("/subscription/holds", params={"user_id": "ada"})
        refused = [
            await http.post("/subscription/holds", json=HOLD),
            await http.post("/subscription/holds/x/settle", json={"credit_amount": 1}),
            await http.delete("/subscription/holds/x"),
        ]

    assert seen.status_code == 200
    assert [answer.status_code for answer in refused] == [403] * 3


@pytest.mark.parametrize(
    ("seconds", "header"), [(-1, None), (59.2, "60"), (86_399, "86399"), (90_000, None)]
)
def test_a_refusal_that_passes_within_a_day_says_when_to_come_again(
    seconds: float, header: str | None
) -> None:
    assert waiting(NOON + timedelta(seconds=seconds), NOON).get("Retry-After") == header


# --- from Python --------------------------------------------------------------------------


def client_of(backend: LocalBackend) -> AsyncAllotment:
    return AsyncAllotment(backend.router, backend.operations)


@in_loop
async def test_a_block_settles_what_it_reports_and_releases_on_an_exception() -> None:
    async with edge() as (http, backend):
        client = client_of(backend)
        await http.post("/subscription/credits", json=CREDITS)
        async with client.holding("ada", "chat", 40) as holding:
            inside = await remaining(http)
            holding.report(15, token_count=7)
        with contextlib.suppress(ZeroDivisionError):
            async with client.holding("ada", "chat", 40) as failed:
                failed.report(15)
                raise ZeroDivisionError
        async with client.holding("ada", "chat", 40):
            pass
        after = await remaining(http)
        holds = await client.get_holds("ada")

    assert inside == (40, 50)
    assert holding.usage is not None
    assert (holding.usage.credit_amount, holding.usage.token_count) == (15, 7)
    assert failed.usage is None
    assert after == (0, 75)
    assert holds.holds == []


@in_loop
async def test_a_block_that_may_not_cost_more_than_is_covered_says_so_and_stays_open() -> None:
    async with edge() as (http, backend):
        client = client_of(backend)
        await http.post("/subscription/credits", json=CREDITS)
        with pytest.raises(InsufficientCreditsError):
            async with client.holding("ada", "chat", 40) as holding:
                holding.report(91, on_insufficient="reject")
        between = await remaining(http)
        await client.settle(holding.hold.hold_id, 91, on_insufficient="record")
        after = await remaining(http)

    assert (between, after) == ((40, 50), (0, -1))


@in_loop
async def test_closed_and_unknown_holds_are_typed_errors() -> None:
    async with edge() as (http, backend):
        client = client_of(backend)
        await http.post("/subscription/credits", json=CREDITS)
        hold = await client.hold("ada", "chat", 5, expires_in=60)
        await client.release(hold.hold_id)
        with pytest.raises(HoldClosedError) as closed:
            await client.settle(hold.hold_id, 5)
        with pytest.raises(HoldNotFoundError) as unknown:
            await client.release("none")
        never = make_hold_id(NOON, UserId("ada"), "never", "chat")
        with pytest.raises(HoldClosedError):
            await client.release(never)

    assert (closed.value.code, unknown.value.code) == ("hold_closed", "not_found")
