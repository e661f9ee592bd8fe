"""What refunds and lost disputes take of packs that Stripe was paid for, and what comes back."""

from actors.protocol.calls import Outcome, service_call
from domain.holds import PlaceHold
from domain.messages import Command, RecordUsage
from domain.values import Credits
from tests.builders.stripe_disputes import Told, dispute, refund
from tests.builders.stripe_money import charge, refunded
from tests.builders.stripe_packs import COMPLETED, left, packs_of, sells, sold
from tests.builders.stripe_prices import CREATED, OLD, know, line
from tests.fakes.shards import ask_one, in_loop
from tests.fakes.stripe_world import ADA, StripeWorld, event, invoice, stripe_world


async def with_pack(world: StripeWorld) -> Told:
    """Let a pack of 900 spendable credits be sold for 1,000 by charge `a`."""
    sells(world, sold(credits="1000"))
    told = Told(world)
    told.charged("a", 1000)
    await world.settle(COMPLETED)
    return told


async def tell(world: StripeWorld, command: Command) -> None:
    reply = await ask_one(world.shard, service_call(command, "once", "a test"))
    assert reply.outcome is Outcome.DONE


async def spend(world: StripeWorld, amount: int) -> None:
    await tell(world, RecordUsage(ADA, "chat", Credits(amount)))


@in_loop
async def test_refunds_take_their_share_and_never_what_is_used() -> None:
    async with stripe_world() as world:
        told = await with_pack(world)
        await spend(world, 600)

        shown = []
        for back in (100, 300, 1000):
            await world.settle(told.charged("a", 1000, back))
            shown.append(await left(world))

        assert shown == [210, 30, 0]
        assert (await packs_of(world)) == []  # Nothing is left of it: RAM lets it go.
        await world.shard.settle()
        (document,) = world.store.documents_of("packs", ADA)
        assert (document["spendable_credits"], document["credits_used"]) == (600, 600)
        assert document["refunded_credits"] == 300


@in_loop
async def test_a_refund_that_failed_gives_back_what_it_took_from_a_pack_that_ram_let_go() -> None:
    async with stripe_world() as world:
        told = await with_pack(world)
        await spend(world, 600)
        await world.settle(told.charged("a", 1000, 1000))
        assert await left(world) == 0

        told.charged("a", 1000, 0)
        await world.settle(told.tell("refund.failed", refund("failed", 1000)))

        assert await left(world) == 300


@in_loop
async def test_a_dispute_that_is_lost_takes_its_share_and_gives_it_back_where_it_is_won() -> None:
    async with stripe_world() as world:
        told = await with_pack(world)
        told.charged("a", 1000, disputed=True)

        shown = []
        for status in ("needs_response", "lost", "won"):
            await world.settle(told.tell("charge.dispute.closed", dispute(status, 400)))
            shown.append(await left(world))

        assert shown == [900, 540, 900]


@in_loop
async def test_what_is_held_while_a_refund_comes_stays_with_the_user() -> None:
    async with stripe_world() as world:
        told = await with_pack(world)
        await tell(world, PlaceHold(ADA, "chat", Credits(700), 60))

        await world.settle(told.charged("a", 1000, 1000))
        amid = await left(world)
        world.clock.advance(seconds=61)

        assert (amid, await left(world)) == (0, 700)


@in_loop
async def test_one_refund_of_an_invoice_takes_from_its_grant_and_its_pack() -> None:
    async with stripe_world() as world:
        know(world, OLD, sold(credits="1000"))
        world.stripe.invoices_of["pi_a"] = "in_2"
        both = [line("il_a", "price_1", 2900), line("il_b", "price_p", 900)]
        about = invoice("in_2", total=3800, lines={"data": both, "has_more": False})
        world.stripe.objects["in_2"] = about
        await world.settle(CREATED, event("in_2", "invoice.paid", about, 5))

        await world.settle(refunded(charge("a", 3800, 1900), 20))

        assert await left(world) == 450
        assert (await world.subscription()).spendable == 90 + 2610 // 2
        (entry,) = [e for e in world.store.journal.values() if "stripe refund" in e.key]
        assert len(entry.events) == 1
