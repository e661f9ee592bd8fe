"""Payments that were nobody's are told to the shard until it has answered, whatever fails between."""

from datetime import timedelta

from actors.stripe.parking import PAID_WAITS
from actors.stripe.reconciliation import Reconciliation
from actors.stripe.records import EventState
from tests.builders.authors import NOON
from tests.builders.stripe_prices import NAMED
from tests.fakes.shards import in_loop
from tests.fakes.stripe_world import StripeWorld, event, invoice, stripe_world, subscription

SILENT = subscription(user=None)
CUSTOMER_NAMED = event("cus", "customer.updated", NAMED, 9)


async def give_up(world: StripeWorld) -> None:
    """Let a paid period be given up: nobody has named its user for as long as it waits."""
    world.stripe.objects["sub_1"] = SILENT
    await world.settle(
        event("created", "customer.subscription.created", SILENT),
        event("paid", "invoice.paid", invoice(), 1),
    )
    world.clock.advance(seconds=(PAID_WAITS + timedelta(days=1)).total_seconds())
    await world.settle()
    assert set(world.states().values()) == {EventState.FAILED}
    world.ledger.events.clear()  # As `trim` does in time: the record alone knows of them.


@in_loop
async def test_a_shard_that_is_away_when_a_user_is_named_gets_all_payments_later() -> None:
    async with stripe_world() as world:
        await give_up(world)
        world.stripe.objects["cus_1"] = NAMED
        world.router.fail_once()

        await world.settle(CUSTOMER_NAMED)
        world.clock.advance(minutes=5)
        await world.settle()

        assert world.states() == {"evt_cus": EventState.APPLIED}
        assert (await world.status()).total_credits == 3000
        assert world.ledger.records["sub_1"].owed == ()


@in_loop
async def test_the_next_news_of_a_subscription_bring_what_is_owed_of_it() -> None:
    async with stripe_world() as world:
        await give_up(world)
        world.stripe.objects["cus_1"] = NAMED
        world.router.fail_once()
        await world.settle(CUSTOMER_NAMED)
        world.ledger.events.clear()  # It was tried in vain for days.

        await world.settle(event("later", "customer.subscription.updated", SILENT, 10))

        assert (await world.status()).total_credits == 3000


@in_loop
async def test_what_cannot_be_applied_keeps_nothing_else_of_its_customer_waiting() -> None:
    async with stripe_world() as world:
        other = subscription("sub_0", user=None)
        world.stripe.objects |= {"sub_0": other, "sub_1": SILENT}
        await world.settle(
            event("0", "customer.subscription.created", other),
            event("1", "customer.subscription.created", SILENT),
            event("2", "invoice.paid", invoice(), 1),
        )
        world.ledger.events.clear()
        world.stripe.objects |= {"sub_0": {"id": "sub_0", "customer": "cus_1"}, "cus_1": NAMED}

        await world.settle(CUSTOMER_NAMED)

        assert world.states() == {"evt_cus": EventState.FAILED}
        assert (await world.status()).total_credits == 3000


@in_loop
async def test_a_comparison_finds_what_is_owed() -> None:
    async with stripe_world() as world:
        await give_up(world)
        world.stripe.objects["cus_1"] = NAMED
        world.router.fail_once()
        await world.settle(CUSTOMER_NAMED)
        world.ledger.events.clear()
        world.stripe.pages["subscriptions"] = [SILENT]

        found = await Reconciliation(world.ledger, world.lookups, world.clock).run(NOON)
        await world.settle()

        assert found.differences == ["sub_1: payments of ada are not all granted"]
        assert (await world.status()).total_credits == 3000
