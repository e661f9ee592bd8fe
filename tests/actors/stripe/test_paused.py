"""What others than the paused Stripe subscription have paid for may be spent, whichever came first."""

import pytest

from actors.protocol.calls import Call, Outcome
from domain.messages import ChangeSubscription
from domain.values import Status
from tests.builders.id_types import forgotten
from tests.fakes.shards import ask, charge_call, credit_call, in_loop
from tests.fakes.stripe_world import (
    ADA,
    StripeWorld,
    event,
    invoice,
    stripe_world,
    subscription,
)

OVER_DAYS = {"id": "over_days", "metadata": {"allotment_credits": "1000", "allotment_days": "10"}}
SESSION = {
    "id": "cs_1",
    "mode": "payment",
    "payment_status": "paid",
    "customer": "cus_1",
    "metadata": {"user_id": "ada"},
}


async def stop(world: StripeWorld, status: str) -> None:
    """Let Stripe hold a subscription of which one period is paid."""
    stopped = subscription(status=status)
    world.stripe.objects["sub_1"] = stopped
    await world.settle(
        event("1", "customer.subscription.created", subscription()),
        event("2", "invoice.paid", invoice(), 1),
    )
    await world.settle(event("3", "customer.subscription.updated", stopped, 60))
    assert (await world.status()).status == "paused"


async def outcome_of_a_charge(world: StripeWorld) -> Outcome:
    (reply,) = await ask(world.shard, charge_call(ADA, 50, "charge"))
    return reply.outcome


@pytest.mark.parametrize("status", ["paused", "unpaid"])
@in_loop
async def test_a_purchase_over_days_can_be_spent_while_stripe_holds_the_subscription(
    status: str,
) -> None:
    async with stripe_world() as world:
        await stop(world, status)
        world.stripe.lines["cs_1"] = [{"id": "li_1", "price": OVER_DAYS, "quantity": 1}]

        await world.settle(event("4", "checkout.session.completed", SESSION, 120))

        assert (await world.status()).status == "active"
        assert await outcome_of_a_charge(world) is Outcome.DONE


@in_loop
async def test_credits_that_a_caller_adds_can_be_spent_while_stripe_holds_the_subscription() -> (
    None
):
    async with stripe_world() as world:
        await stop(world, "unpaid")

        await ask(world.shard, credit_call(ADA, 1000, 20))

        assert await outcome_of_a_charge(world) is Outcome.DONE
        await forgotten(world.shard)
        assert (await world.status()).status == "active"


@in_loop
async def test_what_the_held_subscription_has_paid_late_stays_held() -> None:
    async with stripe_world() as world:
        await stop(world, "paused")

        await world.settle(event("4", "invoice.paid", invoice("in_2", period=1), 61))

        assert (await world.status()).status == "paused"
        assert await outcome_of_a_charge(world) is Outcome.REFUSED


@in_loop
async def test_who_was_paused_by_an_operator_stays_so() -> None:
    async with stripe_world() as world:
        await ask(world.shard, credit_call(ADA, 1000, 20, "first"))
        found = await world.subscription()
        pause = ChangeSubscription(ADA, found.subscription_id, Status.PAUSED)
        await ask(world.shard, Call(pause, "pause", keep_refusal=True))

        await ask(world.shard, credit_call(ADA, 1000, 20, "second"))

        assert (await world.status()).status == "paused"
