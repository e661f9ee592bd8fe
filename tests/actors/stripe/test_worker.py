"""What Stripe's events come to: users, credits, ends, refunds, failures."""

import json
from typing import Any

import pytest

from actors.stripe.worker import DEFECT_ATTEMPTS_MAX, pause_after
from domain.messages import AddCredit
from domain.payments import Payment
from domain.values import Credits
from tests.fakes.shards import ask, credit_call, in_loop, status
from tests.fakes.stripe_world import (
    ADA,
    BEGAN,
    MONTH,
    event,
    invoice,
    stripe_world,
    subscription,
)

CREATED = event("created", "customer.subscription.created", subscription())
PAID = event("paid", "invoice.paid", invoice(), 1)
OLD_SHAPE = {
    "id": "sub_1",
    "object": "subscription",
    "customer": {"id": "cus_1"},
    "status": "active",
    "created": BEGAN,
    "metadata": {"user_id": "ada"},
    "current_period_start": BEGAN,
    "current_period_end": BEGAN + MONTH,
    "items": {"data": [{"id": "si_1", "plan": {"id": "plan_1"}, "quantity": 2}]},
}
OLD_INVOICE = {
    "id": "in_1",
    "object": "invoice",
    "customer": "cus_1",
    "subscription": "sub_1",
    "currency": "eur",
    "lines": {
        "data": [
            {
                "id": "il_1",
                "amount": 2900,
                "quantity": 2,
                "proration": False,
                "period": {"start": BEGAN, "end": BEGAN + MONTH},
                "plan": {"id": "plan_1", "metadata": {"allotment_credits": "500"}},
            }
        ]
    },
}


@in_loop
async def test_a_paid_invoice_is_a_grant_over_its_period() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription()

        await world.settle(CREATED, PAID)

        shown = await world.status()
        assert (shown.total_credits, shown.daily_credit_limit) == (3000, 90)
        (grant,) = (await world.subscription()).grants
        assert (grant.transaction_id, grant.days) == ("in_1", 30)
        assert grant.stripe_subscription_id == "sub_1"


@in_loop
async def test_the_shapes_before_basil_mean_the_same() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = OLD_SHAPE

        await world.settle(
            event("1", "customer.subscription.created", OLD_SHAPE),
            event("2", "invoice.paid", OLD_INVOICE, 1),
        )

        assert (await world.status()).total_credits == 1000
        link = (await world.subscription()).stripe
        assert link is not None
        assert link.period_end is not None
        assert int(link.period_end.timestamp()) == BEGAN + MONTH


@in_loop
async def test_a_thin_event_has_stripe_asked() -> None:
    async with stripe_world() as world:
        world.stripe.objects |= {"sub_1": subscription(), "in_1": invoice()}
        thin = {
            "id": "evt_thin",
            "object": "v2.core.event",
            "type": "v1.invoice.paid",
            "created": "2026-03-10T09:00:01Z",
            "livemode": False,
            "related_object": {"id": "sub_1", "type": "subscription"},
        }

        await world.settle(json.dumps(thin | {"type": "v1.customer.subscription.updated"}))

        assert world.ledger.records["sub_1"].asked
        assert (await world.status()).status == "active"


@in_loop
async def test_a_thin_invoice_is_read_whole_and_granted() -> None:
    async with stripe_world() as world:
        world.stripe.objects |= {"sub_1": subscription(), "in_1": invoice()}
        thin = {
            "id": "evt_thin",
            "object": "v2.core.event",
            "type": "v1.invoice.paid",
            "created": "2026-03-10T09:00:01Z",
            "livemode": False,
            "related_object": {"id": "in_1", "type": "invoice"},
        }

        await world.settle(json.dumps(thin))

        assert (await world.status()).total_credits == 3000


@in_loop
async def test_a_burst_for_one_subscription_is_one_look_up() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription(cancel_at=BEGAN + 50)
        burst = [
            event(f"{n}", "customer.subscription.updated", subscription(cancel_at=BEGAN + n))
            for n in range(20)
        ]

        await world.settle(*burst, PAID)

        assert world.stripe.calls.count("sub_1") == 1
        link, state = (await world.subscription()).stripe, world.ledger.records["sub_1"].state
        assert link is not None
        assert link.cancel_at is not None
        assert state is not None
        assert state.cancel_at is not None
        assert state.cancel_at.timestamp() == BEGAN + 50


@pytest.mark.parametrize("source", ["customer", "reference", "document"])
@in_loop
async def test_users_are_found_in_every_place(source: str) -> None:
    async with stripe_world() as world:
        silent = subscription(user=None)
        world.stripe.objects["sub_1"] = silent
        session = {"id": "cs_1", "mode": "subscription", "subscription": "sub_1"}
        match source:
            case "customer":
                world.stripe.objects["cus_1"] = {"metadata": {"user_id": "ada"}}
            case "reference":
                world.deliver(
                    event(
                        "cs",
                        "checkout.session.completed",
                        session | {"client_reference_id": "ada", "customer": "cus_1"},
                    )
                )
            case _:
                world.ledger.customers["cus_1"] = ADA

        await world.settle(event("1", "customer.subscription.created", silent), PAID)

        assert (await world.status()).total_credits == 3000


@in_loop
async def test_unknown_users_are_parked_until_somebody_says_who_they_are() -> None:
    async with stripe_world() as world:
        silent = subscription(user=None)
        world.stripe.objects["sub_1"] = silent
        await world.settle(event("1", "customer.subscription.created", silent), PAID)
        parked = [e.parked for e in world.ledger.events.values()]

        world.stripe.objects["cus_1"] = {"id": "cus_1", "metadata": {"user_id": "ada"}}
        await world.settle(event("cus", "customer.updated", {"id": "cus_1"}, 9))

        assert parked == [True, True]
        assert (await world.status()).total_credits == 3000
        assert set(world.states().values()) == {"applied"}


@in_loop
async def test_other_grants_live_on_when_stripe_ends_its_own() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription()
        await ask(world.shard, credit_call(ADA, 1000, 20))
        await world.settle(CREATED, PAID)
        before = await world.status()

        gone = subscription(status="canceled", ended_at=BEGAN + 9)
        await world.settle(event("3", "customer.subscription.deleted", gone, 9))

        after = await world.status()
        assert after.status == "active"
        assert after.daily_credit_limit == before.daily_credit_limit
        assert after.total_credits == 1000 + 300 + 90
        world.clock.advance(days=1)
        assert (await world.status()).daily_credit_limit == 45


@in_loop
async def test_without_other_grants_the_subscription_is_cancelled() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription()
        gone = subscription(status="canceled", ended_at=BEGAN + 9)

        await world.settle(CREATED, PAID, event("3", "customer.subscription.deleted", gone, 9))

        assert (await world.status()).status == "cancelled"
        assert (await world.subscription()).spendable == 90
        world.clock.advance(days=1)
        await ask(world.shard, credit_call(ADA, 1000, 10, key="again"))
        assert (await status(world.shard, ADA)).total_credits == 1000


@in_loop
async def test_a_refund_takes_back_its_share_and_never_makes_the_past_negative() -> None:
    async with stripe_world() as world:
        world.stripe.objects |= {"sub_1": subscription(), "in_1": invoice()}
        world.stripe.invoices_of["pi_1"] = "in_1"
        await world.settle(CREATED, PAID)
        world.clock.advance(days=10)
        charge = {"id": "ch_1", "amount": 900, "payment_intent": "pi_1"}

        half = event("r", "charge.refunded", charge | {"amount_refunded": 300}, 20)
        whole = event("s", "charge.refunded", charge | {"amount_refunded": 900}, 21)
        await world.settle(half, half)
        third = await world.subscription()
        await world.settle(whole)
        nothing = await world.subscription()

        assert third.spendable == 11 * 90 + 19 * 60
        assert nothing.spendable == 11 * 90
        assert nothing.limit(third.first_day) == 90
        assert nothing.status == "active"


@in_loop
async def test_what_is_sold_once_over_days_is_added_with_them_and_taken_back_by_its_payment() -> (
    None
):
    async with stripe_world() as world:
        price = {"id": "p", "metadata": {"allotment_credits": "100", "allotment_days": "5"}}
        world.stripe.lines["cs_1"] = [{"id": "li_1", "price": price, "quantity": 2}]
        world.stripe.checkouts_of["pi_9"] = "cs_1"
        session = {
            "id": "cs_1",
            "mode": "payment",
            "payment_status": "paid",
            "client_reference_id": "ada",
            "currency": "eur",
        }
        charge = {"id": "ch_1", "amount": 100, "amount_refunded": 100, "payment_intent": "pi_9"}

        await world.settle(event("r", "charge.refunded", charge, 5))
        await world.settle(event("cs", "checkout.session.completed", session))

        (grant,) = (await world.subscription()).grants
        assert (grant.amount, grant.days, grant.transaction_id) == (200, 5, "cs_1")
        assert grant.spendable == 36


@in_loop
async def test_one_event_that_cannot_be_read_keeps_no_other_back() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription()
        broken = event("odd", "customer.subscription.updated", subscription() | {"status": 7}, 1)

        await world.settle(CREATED, broken, PAID)

        assert (await world.status()).total_credits == 3000
        assert world.states() == {
            "evt_created": "applied",
            "evt_odd": "failed",
            "evt_paid": "applied",
        }


@in_loop
async def test_events_of_the_other_mode_are_dead_letters() -> None:
    async with stripe_world() as world:
        await world.settle(
            event("live", "customer.subscription.created", subscription(), livemode=True)
        )

        assert world.states() == {"evt_live": "failed"}
        assert (await world.status()).status == "none"


@in_loop
async def test_events_of_connected_accounts_and_unknown_kinds_change_nothing() -> None:
    async with stripe_world() as world:
        await world.settle(
            event("foreign", "customer.subscription.created", subscription(), account="acct_1"),
            event("other", "payout.paid", {"id": "po_1"}),
        )

        assert set(world.states().values()) == {"applied"}
        assert (await world.status()).status == "none"


@in_loop
async def test_while_stripe_is_away_events_wait_and_none_is_lost() -> None:
    async with stripe_world() as world:
        world.stripe.away = True
        await world.settle(PAID)
        waiting = world.states()
        world.stripe.away = False
        world.stripe.objects["sub_1"] = subscription()

        world.clock.advance(seconds=600)
        world.restart()
        await world.settle()

        assert waiting == {"evt_paid": "received"}
        assert world.states() == {"evt_paid": "applied"}
        assert (await world.status()).total_credits == 3000


@in_loop
async def test_a_delivery_again_revives_a_dead_letter() -> None:
    async with stripe_world() as world:
        lines: list[dict[str, Any]] = [
            {"id": "li", "price": {"id": "p", "metadata": {"allotment_credits": "9,0"}}}
        ]
        world.stripe.lines["cs_1"] = list(lines)
        session = {"id": "cs_1", "payment_status": "paid", "client_reference_id": "ada"}
        body = event("cs", "checkout.session.completed", session)
        await world.settle(body)

        lines[0]["price"]["metadata"] = {"allotment_credits": "9", "allotment_days": "3"}
        await world.settle(body)

        assert world.states() == {"evt_cs": "applied"}
        assert (await world.status()).total_credits == 9


@in_loop
async def test_an_upgrade_in_the_middle_grants_the_difference() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription()
        (line,) = invoice()["lines"]["data"]
        correction = {"parent": {"subscription_item_details": {"proration": True}}}
        unused = line | correction | {"id": "il_a", "amount": -1450}
        more = line | correction | {"id": "il_b", "amount": 2900, "quantity": 2}
        lines = {"data": [unused, more], "has_more": False}

        await world.settle(CREATED, event("up", "invoice.paid", invoice("in_2", lines=lines), 5))

        (grant,) = (await world.subscription()).grants
        assert (grant.transaction_id, grant.amount) == ("in_2", 1500)


@in_loop
async def test_a_new_subscription_at_stripe_takes_the_place_of_the_one_that_ended() -> None:
    async with stripe_world() as world:
        await ask(world.shard, credit_call(ADA, 1000, 90))
        world.stripe.objects |= {"sub_1": subscription(), "sub_2": subscription("sub_2")}
        gone = subscription(status="canceled", ended_at=BEGAN + 9)
        second = subscription("sub_2", created=BEGAN + 10)
        world.stripe.objects["sub_2"] = second

        await world.settle(CREATED, PAID, event("3", "customer.subscription.deleted", gone, 9))
        await world.settle(
            event("4", "customer.subscription.created", second, 10),
            event("5", "invoice.paid", invoice("in_2", "sub_2"), 10),
        )
        await world.settle(event("6", "customer.subscription.updated", subscription(), 8))

        found = await world.subscription()
        assert found.stripe is not None
        assert found.stripe.subscription_id == "sub_2"
        assert found.spendable == 900 + 90 + 2700


@in_loop
async def test_what_another_actor_has_told_is_not_told_twice() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription()
        await world.settle(CREATED, PAID)
        for event_id in list(world.ledger.events):
            world.ledger.events.pop(event_id)

        world.restart()
        await world.settle(CREATED, PAID)

        assert (await world.status()).total_credits == 3000
        assert len((await world.subscription()).grants) == 1


@in_loop
async def test_what_is_told_again_from_a_kept_record_is_the_same_command() -> None:
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription()
        again = event("again", "invoice.payment_succeeded", invoice(), 1)
        await world.settle(CREATED, PAID)

        await world.settle(again)

        assert set(world.states().values()) == {"applied"}
        assert (await world.status()).total_credits == 3000


def test_pauses_grow_up_to_a_limit() -> None:
    assert pause_after(0).total_seconds() <= 0.5
    assert 30 <= pause_after(40).total_seconds() <= 60
    assert DEFECT_ATTEMPTS_MAX > 1
    assert AddCredit(ADA, Credits(1), 1, Payment("stripe", "cs_1", 1, "eur")).days == 1
