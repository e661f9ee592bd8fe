"""What subscriptions and invoices may look like, and what each shape comes to."""

import logging
from datetime import date, timedelta
from typing import Any

import pytest

from actors.stripe.payloads import RELEASES
from domain.stripe import STATUS_OF
from tests.builders.authors import NOON
from tests.builders.stripe_money import thin
from tests.fakes.shards import ask, credit_call, in_loop
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

CREATED = event("created", "customer.subscription.created", subscription())
PAID = event("paid", "invoice.paid", invoice(), 1)
DAY = 86_400


def line(name: str, price: str, start: int = BEGAN, end: int = BEGAN + MONTH) -> dict[str, Any]:
    return {
        **invoice(name)["lines"]["data"][0],
        "id": name,
        "period": {"start": start, "end": end},
        "pricing": {"price_details": {"price": price}},
    }


def priced(world: StripeWorld, name: str, credits_: int) -> None:
    world.stripe.objects[name] = {"id": name, "metadata": {"allotment_credits": str(credits_)}}


SHOWN = {
    "incomplete": "none",
    "incomplete_expired": "cancelled",
    "trialing": "active",
    "active": "active",
    "past_due": "past_due",
    "unpaid": "paused",
    "paused": "paused",
    "canceled": "cancelled",
}


@pytest.mark.parametrize("word", STATUS_OF)
@in_loop
async def test_every_status_of_stripe_is_one_of_ours(word: str) -> None:
    async with stripe_world() as world:
        told = subscription(status=word, ended_at=BEGAN if STATUS_OF[word] == "cancelled" else None)
        world.stripe.objects["sub_1"] = told

        await world.settle(event("1", "customer.subscription.created", told))

        assert (await world.status()).status == SHOWN[word]


@pytest.mark.parametrize("word", ["paused", "unpaid", "a word of next year"])
@in_loop
async def test_what_others_have_paid_for_is_spent_while_stripe_pauses_its_own(word: str) -> None:
    async with stripe_world() as world:
        await ask(world.shard, credit_call(ADA, 1000, 20))
        told = subscription(status=word)
        world.stripe.objects["sub_1"] = told

        await world.settle(CREATED, event("2", "customer.subscription.paused", told, 5))

        assert (await world.status()).status == "active"


@in_loop
async def test_a_pause_of_the_collection_is_no_pause() -> None:
    async with stripe_world() as world:
        told = subscription(pause_collection={"behavior": "void"})
        world.stripe.objects["sub_1"] = told

        await world.settle(event("1", "customer.subscription.updated", told), PAID)

        assert (await world.status()).status == "active"


@in_loop
async def test_paused_and_resumed_follow_one_another() -> None:
    async with stripe_world() as world:
        paused = subscription(status="paused")
        world.stripe.objects["sub_1"] = subscription()

        await world.settle(CREATED, event("2", "customer.subscription.paused", paused, 5))
        between = (await world.status()).status
        await world.settle(event("3", "customer.subscription.resumed", subscription(), 9))

        assert (between, (await world.status()).status) == ("paused", "active")


@in_loop
async def test_a_failed_payment_has_the_state_looked_up() -> None:
    async with stripe_world() as world:
        await world.settle(CREATED)
        world.stripe.objects["sub_1"] = subscription(status="past_due")

        await world.settle(event("no", "invoice.payment_failed", invoice("in_2"), 40))

        shown = await world.status()
        assert (shown.status, shown.total_credits) == ("past_due", 0)


SCHEDULED: dict[str, dict[str, Any]] = {
    "classic": {"cancel_at_period_end": True},
    "flexible": {"cancel_at": BEGAN + MONTH},
}


@pytest.mark.parametrize("kind", SCHEDULED)
@in_loop
async def test_both_kinds_of_scheduled_cancellation_end_with_the_period(kind: str) -> None:
    async with stripe_world() as world:
        told = subscription(**SCHEDULED[kind])
        world.stripe.objects["sub_1"] = subscription()
        await world.settle(CREATED, PAID)
        before = (await world.subscription()).end

        world.stripe.objects["sub_1"] = told
        await world.settle(event("3", "customer.subscription.updated", told, 3 * 3600 + 9))

        found = await world.subscription()
        assert found.stripe is not None
        assert found.stripe.cancel_at is not None
        assert int(found.stripe.cancel_at.timestamp()) == BEGAN + MONTH
        assert found.end < before
        assert found.status == "active"


@in_loop
async def test_a_trial_is_current_and_its_invoice_of_nothing_is_granted_over_it() -> None:
    async with stripe_world() as world:
        trial = subscription(status="trialing")
        world.stripe.objects["sub_1"] = trial
        free = line("il_1", "price_1", BEGAN, BEGAN + 7 * DAY) | {"amount": 0}
        lines = {"data": [free], "has_more": False}

        await world.settle(
            event("1", "customer.subscription.created", trial),
            event("2", "invoice.paid", invoice(lines=lines), 1),
        )

        (grant,) = (await world.subscription()).grants
        assert ((await world.status()).status, grant.days) == ("active", 7)


@in_loop
async def test_several_items_and_intervals_are_granted_each_over_its_own_period() -> None:
    async with stripe_world() as world:
        priced(world, "price_year", 36_500)
        year = line("il_2", "price_year", BEGAN, BEGAN + 365 * DAY) | {"quantity": 2}
        lines = {"data": [line("il_1", "price_1"), year], "has_more": False}
        month = subscription()["items"]["data"][0]
        yearly = month | {"id": "si_2", "current_period_end": BEGAN + 365 * DAY, "quantity": 2}
        told = subscription(items={"data": [month, yearly], "has_more": False})
        world.stripe.objects["sub_1"] = told

        await world.settle(
            event("1", "customer.subscription.created", told),
            event("2", "invoice.paid", invoice(lines=lines), 1),
        )

        found = await world.subscription()
        spans = sorted((grant.amount, grant.days) for grant in found.grants)
        assert spans == [(3000, 30), (73_000, 365)]
        assert found.stripe is not None
        assert [item.quantity for item in found.stripe.items] == [1, 2]
        assert found.end.date() > date(2027, 3, 10)


@in_loop
async def test_a_payload_that_carries_only_the_first_items_has_stripe_asked_for_all() -> None:
    async with stripe_world() as world:
        item = subscription()["items"]["data"][0]
        all_of_them = [item | {"id": f"si_{n:02}"} for n in range(12)]
        world.stripe.objects["sub_1"] = subscription(items={"data": all_of_them})
        part = subscription(items={"data": all_of_them[:10], "has_more": True})

        await world.settle(event("1", "customer.subscription.created", part))

        link = (await world.subscription()).stripe
        assert link is not None
        assert len(link.items) == 12


@in_loop
async def test_an_invoice_that_carries_only_its_first_lines_is_read_whole() -> None:
    async with stripe_world() as world:
        all_of_them = [line(f"il_{n}", "price_1") for n in range(12)]
        world.stripe.objects |= {
            "sub_1": subscription(),
            "in_1": invoice(lines={"data": all_of_them}),
        }
        part = invoice(lines={"data": all_of_them[:10], "has_more": True})

        await world.settle(CREATED, event("2", "invoice.paid", part, 1))

        assert (await world.status()).total_credits == 12 * 3000


@in_loop
async def test_credits_of_a_product_count_where_its_price_says_nothing() -> None:
    async with stripe_world() as world:
        world.stripe.objects |= {
            "sub_1": subscription(),
            "price_1": {"id": "price_1", "metadata": {}, "product": "prod_1"},
            "prod_1": {"id": "prod_1", "metadata": {"allotment_credits": "700"}},
        }

        await world.settle(CREATED, PAID)

        assert (await world.status()).total_credits == 700


@in_loop
async def test_thin_events_of_checkouts_and_charges_are_read_whole() -> None:
    async with stripe_world() as world:
        price = {"id": "p", "metadata": {"allotment_credits": "100", "allotment_days": "5"}}
        world.stripe.lines["cs_1"] = [{"id": "li_1", "price": price, "quantity": 1}]
        world.stripe.checkouts_of["pi_9"] = "cs_1"
        world.stripe.objects |= {
            "cs_1": {"id": "cs_1", "payment_status": "paid", "client_reference_id": "ada"},
            "ch_1": {"id": "ch_1", "amount": 10, "amount_refunded": 10, "payment_intent": "pi_9"},
        }

        await world.settle(thin("checkout.session.completed", "cs_1"))
        granted = (await world.status()).total_credits
        await world.settle(thin("charge.refunded", "ch_1", 5))

        (grant,) = (await world.subscription()).grants
        assert (granted, grant.spendable) == (100, 18)


@in_loop
async def test_a_checkout_that_is_paid_later_is_granted_then() -> None:
    async with stripe_world() as world:
        price = {"id": "p", "metadata": {"allotment_credits": "100", "allotment_days": "5"}}
        world.stripe.lines["cs_1"] = [{"id": "li_1", "price": price, "quantity": 1}]
        session = {"id": "cs_1", "payment_status": "unpaid", "client_reference_id": "ada"}
        paid = session | {"payment_status": "paid"}

        await world.settle(event("1", "checkout.session.completed", session))
        before = (await world.status()).total_credits
        await world.settle(event("2", "checkout.session.async_payment_succeeded", paid, 60))

        assert (before, (await world.status()).total_credits) == (0, 100)


# --- versions -----------------------------------------------------------------------------


KNOWN = ["2017-08-15", "2020-03-02", *(f"2026-01-28.{name}" for name in sorted(RELEASES))]


@pytest.mark.parametrize("version", KNOWN)
@in_loop
async def test_versions_that_were_tried_raise_no_alarm(
    version: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with stripe_world() as world:
        with caplog.at_level(logging.WARNING):
            about = subscription()
            await world.settle(
                event("1", "customer.subscription.created", about, api_version=version)
            )

        assert world.work.counters.strange_versions == 0
        assert world.work.counters.applied == 1
        assert not caplog.records


@pytest.mark.parametrize("version", ["2027-03-31.fable", "2011-01-01", "2026-01-28", "", 7])
@in_loop
async def test_a_version_that_nobody_has_tried_is_counted_named_once_and_applied(
    version: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription()
        with caplog.at_level(logging.WARNING):
            for at in range(2):
                about = subscription(cancel_at=BEGAN + MONTH + at)
                kind = "customer.subscription.updated"
                await world.settle(event(f"{at}", kind, about, at, api_version=version))

        assert world.work.counters.strange_versions == 2
        assert [str(version) in record.message for record in caplog.records] == [True]
        assert (await world.status()).status == "active"


# --- clocks -------------------------------------------------------------------------------


@in_loop
async def test_what_waits_is_tried_at_once_when_the_test_clock_is_set_forward() -> None:
    async with stripe_world() as world:
        silent = subscription(user=None)
        world.stripe.objects["sub_1"] = silent
        await world.settle(event("1", "customer.subscription.created", silent))
        world.ledger.customers["cus_1"] = ADA
        await world.settle()
        before = set(world.states().values())

        world.service_clock.set_forward(timedelta(minutes=2))
        await world.settle()

        assert (before, set(world.states().values())) == ({"received"}, {"applied"})


@in_loop
async def test_a_test_clock_that_is_ahead_makes_nothing_old_that_stripe_tells() -> None:
    async with stripe_world() as world:
        world.service_clock.set_forward(timedelta(days=31))
        world.stripe.objects["sub_1"] = subscription()
        await world.settle(thin("customer.subscription.updated", "sub_1"))
        asked_at = int(NOON.timestamp())
        later = subscription(status="past_due")

        told = event("2", "customer.subscription.updated", later, created=asked_at + 600)
        await world.settle(told)

        assert (await world.status()).status == "past_due"
