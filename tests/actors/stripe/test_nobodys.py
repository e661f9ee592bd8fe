"""What is nobody's: it waits, but not for ever, costs few requests, and delays nobody."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from actors.stripe.applier import NOBODYS
from actors.stripe.parking import (
    PAID_WAITS,
    PARKED_MAX,
    PARKED_SECONDS_MAX,
    UNPAID_WAITS,
    parked_pause,
)
from actors.stripe.reconciliation import Reconciliation
from actors.stripe.worker import AT_ONCE
from tests.builders.authors import NOON
from tests.builders.stripe_prices import NAMED
from tests.fakes.shards import in_loop
from tests.fakes.stripe_world import (
    ADA,
    BEGAN,
    MONTH,
    StripeWorld,
    event,
    invoice,
    stripe_world,
    subscription,
)
from tests.patience import PATIENCE_SECONDS

SILENT = subscription(user=None)
CREATED = event("created", "customer.subscription.created", SILENT)
PAID = event("paid", "invoice.paid", invoice(), 1)
SESSION: dict[str, Any] = {"id": "cs_1", "mode": "payment", "payment_status": "paid"}
RENEWED = SILENT["items"]["data"][0] | {"current_period_end": BEGAN + 3 * MONTH}
DUE = SILENT | {"status": "past_due", "items": {"data": [RENEWED], "has_more": False}}


def another_product(world: StripeWorld) -> None:
    """Let the price of these subscriptions say nothing of credits."""
    world.stripe.objects["price_1"] = {"id": "price_1", "metadata": {}}
    world.stripe.objects["sub_1"] = SILENT


async def reconcile(world: StripeWorld) -> list[str]:
    async def at_once(_seconds: float) -> None:
        pass

    work = Reconciliation(world.ledger, world.lookups, world.clock, at_once)
    found = await work.run(NOON)
    await world.settle()
    return found.differences


async def pass_time(world: StripeWorld, length: timedelta, step: timedelta) -> None:
    for _ in range(length // step):
        world.clock.advance(seconds=step.total_seconds())
        await world.settle()


@in_loop
async def test_another_products_subscription_waits_an_hour_without_a_request() -> None:
    async with stripe_world() as world:
        another_product(world)
        await world.settle(CREATED, PAID)
        parked = world.ledger.waiting().parked
        world.stripe.calls.clear()

        await pass_time(world, UNPAID_WAITS, timedelta(minutes=1))

        assert parked == 2
        assert world.ledger.waiting().parked == 0
        assert set(world.ledger.outcomes.values()) == {NOBODYS}
        assert world.stripe.calls == []


@in_loop
async def test_what_comes_later_of_what_is_nobodys_costs_no_request_but_for_prices() -> None:
    async with stripe_world() as world:
        another_product(world)
        await world.settle(CREATED, PAID)
        world.stripe.calls.clear()

        await world.settle(
            event("2", "customer.subscription.updated", SILENT | {"cancel_at": BEGAN + 9}, 5),
            event("3", "invoice.paid", invoice("in_2", period=1), 6),
            event("4", "invoice.payment_failed", invoice("in_3", period=2), 7),
        )

        assert set(world.stripe.calls) <= {"price_1", "prod_1"}


@in_loop
async def test_credits_that_were_paid_for_are_asked_for_ever_more_rarely() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = SILENT
        await world.settle(CREATED, PAID)
        world.stripe.calls.clear()

        await pass_time(world, timedelta(days=1), timedelta(minutes=10))
        first_day = len(world.stripe.calls)
        world.stripe.calls.clear()
        await pass_time(world, timedelta(days=1), timedelta(minutes=10))

        assert first_day <= 14
        assert 0 < len(world.stripe.calls) <= 6
        assert set(world.stripe.calls) == {"cus_1"}


@in_loop
async def test_credits_that_nobody_claims_become_a_dead_letter_that_a_user_revives() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = SILENT
        await world.settle(CREATED, PAID)

        await pass_time(world, PAID_WAITS + timedelta(days=1), timedelta(hours=3))
        given_up = set(world.states().values())
        world.stripe.objects["cus_1"] = NAMED
        await world.settle(event("cus", "customer.updated", NAMED, 9))

        assert given_up == {"failed"}
        assert set(world.states().values()) == {"applied"}
        assert (await world.status()).total_credits == 3000


async def given_up(world: StripeWorld, *, paid: bool) -> None:
    """Let a subscription come, let nobody claim it, and let time pass."""
    another_product(world)
    if paid:
        world.stripe.objects["price_1"]["metadata"] = {"allotment_credits": "3000"}
    await world.settle(CREATED, PAID)
    await pass_time(world, timedelta(days=35), timedelta(hours=7))
    await world.settle(event("late", "customer.subscription.updated", SILENT, 3))
    await pass_time(world, timedelta(days=35), timedelta(hours=7))
    assert world.ledger.waiting().parked == 0
    world.ledger.trim(world.clock())


async def customer_tells(world: StripeWorld) -> list[str]:
    world.stripe.objects["cus_1"] = NAMED
    await world.settle(event("cus", "customer.updated", NAMED, 9))
    return []


async def subscription_tells(world: StripeWorld) -> list[str]:
    told = DUE | {"metadata": {"user_id": "ada"}}
    world.stripe.objects["sub_1"] = told
    await world.settle(event("up", "customer.subscription.updated", told, 9))
    return []


async def checkout_tells(world: StripeWorld) -> list[str]:
    session = {"id": "cs_1", "mode": "subscription", "subscription": "sub_1"}
    about = session | {"client_reference_id": "ada", "customer": "cus_1"}
    await world.settle(event("cs", "checkout.session.completed", about, 9))
    return []


async def comparison_finds_the_customer(world: StripeWorld) -> list[str]:
    world.stripe.objects["cus_1"] = NAMED
    world.stripe.pages["subscriptions"] = [DUE | {"customer": NAMED}]
    assert await reconcile(world) == ["sub_1: active here, past_due"]
    return await reconcile(world)


async def comparison_finds_a_document(world: StripeWorld) -> list[str]:
    world.stripe.pages["subscriptions"] = [DUE]
    await reconcile(world)
    world.clock.advance(seconds=1)
    world.ledger.customers["cus_1"] = ADA
    assert await reconcile(world) == ["sub_1: nobody's here, it is ada's"]
    return await reconcile(world)


@pytest.mark.parametrize(
    "tells",
    [
        customer_tells,
        subscription_tells,
        checkout_tells,
        comparison_finds_the_customer,
        comparison_finds_a_document,
    ],
)
@pytest.mark.parametrize("paid", [True, False])
@in_loop
async def test_whoever_is_named_after_it_was_given_up_gets_all_of_it(
    tells: Callable[[StripeWorld], Awaitable[list[str]]], *, paid: bool
) -> None:
    """What changed meanwhile was not followed: it is asked for."""
    async with stripe_world() as world:
        await given_up(world, paid=paid)
        world.stripe.objects["sub_1"] = DUE

        differences = await tells(world)

        (shown,) = world.shard.accounts[ADA].subscriptions
        assert shown.stripe is not None
        assert shown.stripe.status == "past_due"
        assert sum(grant.amount for grant in shown.grants) == (3000 if paid else 0)
        assert differences == []


@in_loop
async def test_an_end_is_dropped_though_nobody_was_ever_named() -> None:
    async with stripe_world() as world:
        another_product(world)
        gone = SILENT | {"status": "canceled", "ended_at": BEGAN - 2 * 86_400}
        world.stripe.objects["sub_1"] = gone

        await world.settle(event("1", "customer.subscription.deleted", gone))

        assert world.ledger.outcomes == {"evt_1": NOBODYS}


CHECKOUTS: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "a card that is set up": (
        SESSION | {"mode": "setup", "customer": "cus_1", "payment_status": "no_payment_required"},
        {"allotment_credits": "5", "allotment_days": "5"},
        "applied",
    ),
    "a guest's purchase": (SESSION, {}, "applied"),
    "a customer's purchase of something else": (SESSION | {"customer": "cus_1"}, {}, "applied"),
    "a guest's purchase of credits": (
        SESSION,
        {"allotment_credits": "5", "allotment_days": "5"},
        "failed",
    ),
    "a nameless customer's purchase of credits": (
        SESSION | {"customer": "cus_1"},
        {"allotment_credits": "5", "allotment_days": "5"},
        "received",
    ),
}


@pytest.mark.parametrize("what", CHECKOUTS)
@in_loop
async def test_checkouts_wait_only_where_a_user_may_still_be_named(what: str) -> None:
    session, metadata, state = CHECKOUTS[what]
    async with stripe_world() as world:
        price = {"id": "p", "metadata": metadata}
        world.stripe.lines["cs_1"] = [{"id": "li_1", "price": price, "quantity": 1}]

        await world.settle(event("cs", "checkout.session.completed", session))

        assert world.states() == {"evt_cs": state}


@in_loop
async def test_one_more_than_may_wait_is_not_waited_for() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = SILENT
        world.work.counters.parked = PARKED_MAX

        await world.settle(CREATED, PAID)
        before = set(world.states().values())
        world.stripe.objects["cus_1"] = NAMED
        await world.settle(event("cus", "customer.updated", NAMED, 9))

        assert before == {"failed"}
        assert (await world.status()).total_credits == 3000


@in_loop
async def test_fresh_events_are_taken_up_before_what_was_found() -> None:
    async with stripe_world() as world:
        others = [subscription(f"sub_{n}", user=None, customer=f"cus_{n}") for n in range(9, 50)]
        world.stripe.objects |= {one["id"]: one for one in others}
        world.stripe.pages["subscriptions"] = list(others)
        work = Reconciliation(world.ledger, world.lookups, world.clock)
        await work.run(NOON)
        world.stripe.objects["sub_1"] = subscription()
        world.deliver(event("1", "customer.subscription.created", subscription()))
        world.deliver(PAID)
        world.stripe.calls.clear()

        await world.work.turn(fresh=True)

        assert (await world.status()).total_credits == 3000
        assert len(world.stripe.calls) <= 3


@in_loop
async def test_in_a_flood_whoever_came_last_is_among_the_next() -> None:
    number = 50
    async with stripe_world() as world:
        for n in range(number):
            other = subscription(f"sub_x{n}", user=None, customer=f"cus_{n}")
            world.deliver(event(f"x{n}", "customer.subscription.created", other))
        world.clock.advance(seconds=1)
        world.deliver(event("1", "customer.subscription.created", subscription()))

        for _ in range(2):
            await world.work.turn(fresh=True)

        assert (await world.status()).status == "active"
        assert world.ledger.waiting().fresh == number + 1 - 2 * AT_ONCE[True]
        applied_or_parked = {e.event_id for e in world.ledger.events.values() if e.attempts}
        assert "evt_x0" in applied_or_parked


@in_loop
async def test_one_that_takes_long_holds_no_other_up() -> None:
    async with stripe_world() as world:
        asked, slow = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def never_answer(_customer: str) -> None:
            loop.call_soon_threadsafe(asked.set)
            slow.wait(PATIENCE_SECONDS)

        world.stripe.customer = never_answer  # type: ignore[assignment,method-assign]
        other = subscription("sub_x", user=None, customer="cus_slow")
        world.deliver(event("x", "customer.subscription.created", other))
        running = asyncio.create_task(world.work.run())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asked.wait()
                world.deliver(event("1", "customer.subscription.created", subscription()))
                while (await world.status()).status != "active":
                    await asyncio.sleep(0.01)
            assert world.states()["evt_x"] == "received"
        finally:
            slow.set()
            running.cancel()


def test_pauses_of_what_is_parked_grow_up_to_a_limit() -> None:
    assert 45 <= parked_pause(0).total_seconds() <= 75
    assert parked_pause(99).total_seconds() >= PARKED_SECONDS_MAX * 0.75
    assert parked_pause(99).total_seconds() <= PARKED_SECONDS_MAX * 1.25
