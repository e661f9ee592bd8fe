"""A refusal that has passed holds back no credits, though a lost message made it a key's answer."""

from collections.abc import Sequence

import pytest

from actors.protocol.calls import Call, Outcome, Reply
from domain.values import CREDITS_MAX
from tests.fakes.shards import ask, ask_one, credit_call, in_loop
from tests.fakes.stripe_world import (
    OneShardRouter,
    StripeWorld,
    event,
    invoice,
    stripe_world,
    subscription,
)

PAID = event("paid", "invoice.paid", invoice(), 1)


class LossyRouter(OneShardRouter):
    """Loses the first sending of every call while told to: the shard gets a repeat, as the real one says."""

    loses = True

    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        sent = [call._replace(keep_refusal=True) for call in calls] if self.loses else calls
        return await super().calls(sent)


async def fill(world: StripeWorld) -> LossyRouter:
    """Begin with a user who has no room for two days; return the way to the shard."""
    await ask_one(world.shard, credit_call("ada", CREDITS_MAX, 1))
    world.stripe.objects["sub_1"] = subscription()
    world.router = router = LossyRouter(world.shard)
    world.restart()
    return router


async def granted(world: StripeWorld) -> list[int]:
    """Return what the invoice has granted."""
    await world.status()
    (account,) = world.shard.accounts.values()
    grants = [grant for one in account.subscriptions for grant in one.grants]
    return [grant.amount for grant in grants if grant.transaction_id == "in_1"]


@pytest.mark.parametrize("lost_again", [False, True])
@in_loop
async def test_a_delivery_again_grants_what_was_refused_when_a_message_was_lost(
    lost_again: bool,
) -> None:
    async with stripe_world() as world:
        router = await fill(world)
        await world.settle(PAID)
        refused = world.states(), await granted(world)
        world.clock.advance(days=2)
        router.loses = lost_again

        await world.settle(PAID)

        assert refused == ({"evt_paid": "failed"}, [])
        assert (world.states(), await granted(world)) == ({"evt_paid": "applied"}, [3000])


@in_loop
async def test_a_refusal_that_goes_on_is_told_each_time_and_holds_nothing_back_later() -> None:
    async with stripe_world() as world:
        await fill(world)
        for _ in range(3):
            await world.settle(PAID)
            world.clock.advance(seconds=1)
        (dead,) = world.ledger.unapplied(10)
        world.clock.advance(days=2)

        await world.settle(PAID)

        assert dead.last_error == "the account refuses it: amount_too_large"
        assert (world.states(), await granted(world)) == ({"evt_paid": "applied"}, [3000])


@in_loop
async def test_what_was_granted_under_another_key_is_granted_once() -> None:
    async with stripe_world() as world:
        router = await fill(world)
        await world.settle(PAID)
        world.clock.advance(days=2)
        for name in ("paid", "later", "late"):
            await world.settle(event(name, "invoice.paid", invoice(), 1))
            world.clock.advance(seconds=1)

        late = await ask(world.shard, *router.calls_seen)

        assert await granted(world) == [3000]
        assert all(reply.replayed for reply in late if reply.outcome is Outcome.REFUSED)
        assert set(world.states().values()) == {"applied"}


@in_loop
async def test_a_refusal_that_is_no_replay_is_asked_once() -> None:
    async with stripe_world() as world:
        router = await fill(world)
        router.loses = False

        await world.settle(PAID)
        world.clock.advance(seconds=1)
        await world.settle(PAID)

        assert [call.key for call in router.calls_seen] == ["§stripe in_1"] * 2
