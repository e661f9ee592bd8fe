"""Several Stripe subscriptions of one user: the end of one takes nothing of the others."""

import pytest

from actors.stripe.records import EventState
from tests.fakes.shards import in_loop
from tests.fakes.stripe_world import (
    BEGAN,
    MONTH,
    StripeWorld,
    event,
    invoice,
    stripe_world,
    subscription,
)

HOUR = 3600
NEWER = subscription("sub_2", created=BEGAN + HOUR)
GONE = NEWER | {"status": "canceled", "ended_at": BEGAN + 2 * HOUR}
NEWER_ENDS = event("gone", "customer.subscription.deleted", GONE, 2 * HOUR)


async def pay_both(world: StripeWorld) -> None:
    world.stripe.objects |= {"sub_1": subscription(), "sub_2": NEWER}
    await world.settle(
        event("1", "customer.subscription.created", subscription()),
        event("2", "invoice.paid", invoice(), 1),
        event("3", "customer.subscription.created", NEWER, HOUR),
        event("4", "invoice.paid", invoice("in_2", of="sub_2"), HOUR + 1),
    )


async def end_newer(world: StripeWorld) -> None:
    world.stripe.objects["sub_2"] = GONE
    await world.settle(NEWER_ENDS)


@in_loop
async def test_the_older_one_is_followed_when_the_newer_one_ends() -> None:
    async with stripe_world() as world:
        await pay_both(world)

        await end_newer(world)

        found = await world.subscription()
        assert found.stripe is not None
        assert found.stripe.subscription_id == "sub_1"
        assert found.status == "active"


@pytest.mark.parametrize("away", [False, True])
@in_loop
async def test_the_older_one_keeps_its_day_of_grace_and_what_is_left(away: bool) -> None:
    async with stripe_world() as world:
        await pay_both(world)
        if away:
            world.router.fail_once(after=1)
        await end_newer(world)
        world.clock.advance(minutes=5)
        await world.settle()
        rolled = (await world.status()).total_credits

        world.clock.now = world.clock.now.replace(hour=0)
        world.clock.advance(seconds=MONTH + 4 * HOUR)
        before = await world.status()
        await world.settle(event("5", "invoice.paid", invoice("in_3", period=1), MONTH + 2 * HOUR))

        assert set(world.states().values()) == {EventState.APPLIED}
        assert before.status == "active"
        assert (await world.status()).total_credits == rolled + 3000
