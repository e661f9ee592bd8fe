"""The service's own idempotency keys: no caller can take one, and those of before are recognised."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from actors.janitor.expiry import Ended
from actors.janitor.expiry import expire_call as expire_subscription
from actors.protocol.calls import SERVICE_KEY, Call, Outcome, checked_key, make_call, service_call
from actors.protocol.errors import InvalidRequestError
from actors.protocol.expiry import expire_call as expire_hold
from actors.shard.shard import Shard
from actors.stripe.commands import check
from domain.api.requests import BatchedUsageBody
from domain.fingerprints import fingerprint
from domain.messages import AddCredit, GrantFromStripe
from domain.payments import Payment
from domain.stripe import ApplyStripeState, StripeLink, VoidGrants
from domain.values import Credits, UserId
from tests.builders.authors import NOON
from tests.builders.hold_calls import hold_call, placed
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import (
    Clock,
    ask_one,
    charge_call,
    credit_call,
    in_loop,
    running,
    status,
    until,
)

ADA = UserId("ada")
MONTH = timedelta(days=30)
PAID = Payment("stripe", "in_1", 2900, "eur")
LINK = StripeLink("sub_1", "cus_1", "active", NOON, NOON + MONTH, None, None, (), 1)

Prepare = Callable[[Shard, Clock], Awaitable[Call]]


async def of_an_end(shard: Shard, clock: Clock) -> Call:
    await ask_one(shard, credit_call("ada", 100))
    (subscription,) = shard.accounts[ADA].subscriptions
    clock.advance(days=3)
    return expire_subscription(Ended(ADA, subscription.subscription_id, subscription.end))


async def of_a_hold(shard: Shard, clock: Clock) -> Call:
    await ask_one(shard, credit_call("ada", 100, 30))
    hold = placed(await ask_one(shard, hold_call(3, "hold", user_id=ADA)))
    clock.advance(seconds=61)
    return expire_hold(ADA, hold.hold_id)


async def of_a_period(shard: Shard, clock: Clock) -> Call:
    command = GrantFromStripe(ADA, Credits(3000), NOON, NOON + MONTH, PAID, "sub_1")
    return service_call(command, "stripe in_1", "stripe")


async def of_a_pack(shard: Shard, clock: Clock) -> Call:
    return service_call(AddCredit(ADA, Credits(3000), 30, PAID), "stripe in_1", "stripe")


async def of_a_state(shard: Shard, clock: Clock) -> Call:
    return service_call(ApplyStripeState(ADA, LINK), "stripe state sub_1 1", "stripe")


async def of_a_refund(shard: Shard, clock: Clock) -> Call:
    await ask_one(shard, Call(AddCredit(ADA, Credits(3000), 30, PAID), "paid", keep_refusal=True))
    return service_call(VoidGrants(ADA, "in_1", 1, 2), "stripe refund in_1 1 of 2", "stripe")


OURS: list[Prepare] = [of_an_end, of_a_hold, of_a_period, of_a_pack, of_a_state, of_a_refund]


def former(call: Call) -> Call:
    """Return the call as older versions made it."""
    return call._replace(key=call.key.removeprefix(SERVICE_KEY))


def changes(store: MemoryStore) -> list[str]:
    return [type(entry.change).__name__ for entry in store.journal.values()]


@pytest.mark.parametrize("prepare", OURS)
@in_loop
async def test_a_caller_who_has_taken_the_former_key_stops_nothing(prepare: Prepare) -> None:
    store, clock = MemoryStore(), Clock()
    async with running(store, clock=clock) as shard:
        call = await prepare(shard, clock)
        taken = await ask_one(shard, charge_call("ada", 0, former(call).key))
        ours = await ask_one(shard, call)

    assert taken.outcome in (Outcome.DONE, Outcome.REFUSED)
    assert ours.outcome is Outcome.DONE  # Be it that a hold's timer came before us.
    (entry,) = [entry for entry in store.journal.values() if entry.key == call.key]
    assert entry.fingerprint == fingerprint(call.command)


@pytest.mark.parametrize("prepare", OURS)
@in_loop
async def test_what_was_done_under_a_former_key_is_not_done_again(prepare: Prepare) -> None:
    store, clock = MemoryStore(), Clock()
    async with running(store, clock=clock) as shard:
        call = await prepare(shard, clock)
        await ask_one(shard, former(call))
        await shard.settle()
        before, shown = changes(store), await status(shard, "ada")
    async with running(store, clock=clock) as shard:
        again = await ask_one(shard, call)
        after, shown_after = changes(store), await status(shard, "ada")

    assert (after, shown_after) == (before, shown)
    assert again.outcome in (Outcome.DONE, Outcome.REFUSED)
    if call.by == "stripe":
        check(again)  # It counts as applied.


@in_loop
async def test_a_hold_that_is_over_is_written_down_by_the_timer_whatever_callers_send() -> None:
    store, clock = MemoryStore(), Clock()
    async with running(store, clock=clock) as shard:
        call = await of_a_hold(shard, clock)
        await ask_one(shard, charge_call("ada", 0, former(call).key))
        shard.expiry.look()
        await until(lambda: shard.counters.holds_expired == 1)

    assert changes(store).count("HoldFreed") == 1


WAYS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/subscription/credits", CREDITS),
    ("POST", "/subscription/usage", USAGE),
    ("POST", "/subscription/usage/batch", {"records": [USAGE]}),
    ("POST", "/subscription/holds", {"user_id": "ada", "credit_amount": 1}),
    ("POST", "/subscription/holds/x/settle", {"credit_amount": 1}),
    ("DELETE", "/subscription/holds/x", {}),
    ("PATCH", "/subscriptions/x", {"status": "paused"}),
]


@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(("method", "path", "body"), WAYS)
@in_loop
async def test_no_key_of_ours_comes_over_http(
    method: str, path: str, body: dict[str, Any], coding: str
) -> None:
    headers = [(b"idempotency-key", f"{SERVICE_KEY}expire x".encode(coding))]
    async with edge() as (http, _):
        content = json.dumps(body).encode() if body else b""
        answer = await http.request(method, path, content=content, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


@in_loop
async def test_no_key_of_ours_comes_with_a_record_of_a_batch() -> None:
    async with edge() as (http, _):
        record = USAGE | {"idempotency_key": f"{SERVICE_KEY}expire x"}
        answer = await http.post("/subscription/usage/batch", json={"records": [record]})

    (result,) = answer.json()["results"]
    assert result["problem"]["errors"][0]["field"] == "idempotency_key"


@settings(deadline=None)  # Other programs may hold the processor.
@given(st.text(max_size=20) | st.text("§\x1f\x1e aZ~", max_size=260))
def test_no_key_of_ours_comes_from_python(tail: str) -> None:
    command = AddCredit(ADA, Credits(1), 1, PAID)
    with pytest.raises(InvalidRequestError):
        make_call(command, f"{SERVICE_KEY}{tail}")
    with pytest.raises(ValidationError):
        BatchedUsageBody.model_validate(USAGE | {"idempotency_key": f"{SERVICE_KEY}{tail}"})
    try:
        assert checked_key(tail) == make_call(command, tail).key == tail
    except InvalidRequestError:
        assert not (tail.isascii() and tail.isprintable() and 1 <= len(tail) <= 255)


def test_every_call_of_the_services_own_begins_with_what_callers_cannot_send() -> None:
    ended = Ended(ADA, "6b0a96d692994d6854a54f4a", NOON)
    calls = [expire_subscription(ended), expire_subscription(ended, " again")]
    calls += [expire_hold(ADA, "x"), expire_hold(ADA, "x", "y")]

    assert all(call.key.startswith(SERVICE_KEY) for call in calls)
    assert not SERVICE_KEY.isascii()
