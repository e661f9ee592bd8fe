"""Lost disputes take what refunds take, and what was taken comes back with the money."""

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from actors.protocol.calls import service_call
from actors.stripe.payloads import DISPUTE_EVENTS, MONEY_EVENTS
from actors.stripe.reconciliation import Reconciliation
from actors.stripe.records import StripeRecord
from actors.stripe.refunds import MoneyBack, with_money_back
from domain.stripe import VoidGrants
from tests.builders.authors import NOON
from tests.builders.stripe_disputes import Told, dispute, refund
from tests.builders.stripe_money import charge, refunded, thin, with_invoice
from tests.fakes.shards import in_loop
from tests.fakes.stripe_world import StripeWorld, event, stripe_world, subscription

OPEN = ("warning_needs_response", "warning_under_review", "needs_response", "under_review")
SETTLED = ("warning_closed", "won", "prevented", "charge_refunded", "a word of next year")
TODAY, REST = 90, 2610


async def given(world: StripeWorld) -> int:
    return (await world.subscription()).spendable


@pytest.mark.parametrize("kind", sorted(DISPUTE_EVENTS))
@pytest.mark.parametrize("status", [*OPEN, *SETTLED, "lost"])
@in_loop
async def test_only_a_dispute_that_is_lost_takes_credits(status: str, kind: str) -> None:
    async with stripe_world() as world:
        told = Told(world)
        await with_invoice(world, "a")
        told.charged("a", 2900, disputed=True)

        body = told.tell(kind, dispute(status))
        await world.settle(body, body)

        assert await given(world) == TODAY + (0 if status == "lost" else REST)
        assert set(world.states().values()) == {"applied"}


@pytest.mark.parametrize("kind", sorted(MONEY_EVENTS - {"charge.refunded"}))
@in_loop
async def test_thin_events_have_the_charge_looked_at_too(kind: str) -> None:
    async with stripe_world() as world:
        told = Told(world)
        await with_invoice(world, "a")
        told.charged("a", 2900, 1450, disputed=kind in DISPUTE_EVENTS)
        told.know(dispute("lost", 1450) if kind in DISPUTE_EVENTS else refund("succeeded"))

        await world.settle(thin(kind, "dp_a" if kind in DISPUTE_EVENTS else "re_a", 30))

        assert await given(world) == TODAY + (0 if kind in DISPUTE_EVENTS else REST // 2)


@in_loop
async def test_a_lost_dispute_that_is_won_later_gives_back_what_is_left_from_tomorrow() -> None:
    async with stripe_world() as world:
        told = Told(world)
        await with_invoice(world, "a")
        told.charged("a", 2900, disputed=True)
        await world.settle(told.tell("charge.dispute.closed", dispute("lost")))
        world.clock.advance(days=10)
        amid = await given(world), (await world.status()).daily_credit_limit

        await world.settle(told.tell("charge.dispute.funds_reinstated", dispute("won")))
        today = (await world.status()).daily_credit_limit
        world.clock.advance(days=1)

        assert amid == (TODAY, 0)
        assert (today, (await world.status()).daily_credit_limit) == (0, 90)
        assert await given(world) == TODAY + 19 * 90


REFUND_FAILED = sorted(MONEY_EVENTS - DISPUTE_EVENTS - {"charge.refunded"})


@pytest.mark.parametrize("kind", REFUND_FAILED)
@pytest.mark.parametrize(("first", "left"), [(2900, 0), (2900, 1450), (1450, 0)])
@in_loop
async def test_a_refund_that_failed_gives_its_share_back(kind: str, first: int, left: int) -> None:
    async with stripe_world() as world:
        told = Told(world)
        await with_invoice(world, "a")
        await world.settle(told.charged("a", 2900, first))

        told.charged("a", 2900, left)
        body = told.tell(kind, refund("failed"))
        await world.settle(body, body)

        assert await given(world) == TODAY + REST * (2900 - left) // 2900


@in_loop
async def test_what_is_taken_again_in_the_same_share_is_taken_again() -> None:
    async with stripe_world() as world:
        told = Told(world)
        await with_invoice(world, "a")
        seen = []

        for back in (1450, 0, 1450, 0, 1450):
            await world.settle(told.charged("a", 2900, back))
            seen.append(await given(world))

        half = TODAY + REST // 2
        assert seen == [half, 2700, half, 2700, half]


@pytest.mark.parametrize("currency", ["eur", "usd"])
@in_loop
async def test_refunds_and_disputes_of_all_charges_add_up_to_the_payment_at_most(
    currency: str,
) -> None:
    async with stripe_world() as world:
        told = Told(world)
        await with_invoice(world, "a", "b")
        told.charged("a", 1450, 450, disputed=True, currency="eur")
        lost = told.tell("charge.dispute.closed", dispute("lost", 500, currency=currency))
        await world.settle(lost)
        amid = await given(world)
        told.charged("b", 1450, 1450, disputed=True, currency="eur")
        lost = told.tell("charge.dispute.closed", dispute("lost", 9000, "b", currency=currency))
        await world.settle(lost)

        away = 950 if currency == "eur" else 1450  # Of another currency nobody knows the part.
        assert amid == TODAY + REST * (2900 - away) // 2900
        assert await given(world) == TODAY + REST * (1450 - away) // 2900


@in_loop
async def test_what_comes_back_after_the_subscription_has_ended_stays_away() -> None:
    async with stripe_world() as world:
        told = Told(world)
        await with_invoice(world, "a")
        gone = subscription(status="canceled", ended_at=subscription()["created"] + 9)
        await world.settle(
            told.charged("a", 2900, 2900), event("3", "customer.subscription.deleted", gone, 9)
        )

        await world.settle(told.charged("a", 2900, 0))

        assert await given(world) == TODAY


@in_loop
async def test_a_charge_that_nobody_disputes_costs_no_request_for_disputes() -> None:
    async with stripe_world() as world:
        told = Told(world)
        await with_invoice(world, "a")
        body = told.charged("a", 2900, 1450, disputed=False)
        world.stripe.calls.clear()

        await world.settle(body)

        assert sorted(world.stripe.calls) == ["ch_a", "in_1", "pi_a"]


@in_loop
async def test_an_answer_of_before_another_actor_saved_its_own_counts_for_nothing() -> None:
    async with stripe_world() as world:
        told = Told(world)
        await with_invoice(world, "a")
        told.charged("a", 2900, 2900)
        charge_of = world.stripe.charge

        def overtaken(charge_id: str) -> Any:
            answer = charge_of(charge_id)
            world.stripe.charge = charge_of  # type: ignore[method-assign]
            told.charged("a", 2900, 0)  # The refund fails, and another actor sees it first.
            known = world.ledger.records["sub_1"]
            world.ledger.save(replace(known, revision=known.revision + 1))
            return answer

        world.stripe.charge = overtaken  # type: ignore[method-assign]
        await world.settle(refunded(charge("a", 2900, 2900), 20))
        world.clock.advance(seconds=60)
        await world.settle()

        assert await given(world) == 2700
        assert set(world.states().values()) == {"applied"}


@in_loop
async def test_what_a_stopped_actor_sends_at_last_changes_nothing() -> None:
    async with stripe_world() as world:
        told = Told(world)
        await with_invoice(world, "a")
        await world.settle(told.charged("a", 2900, 2900))
        sent = [c.command for c in world.router.calls_seen if isinstance(c.command, VoidGrants)]
        await world.settle(told.charged("a", 2900, 0))

        for command in sent:
            await world.router.calls([service_call(command, "it was on its way", "stripe")])

        assert await given(world) == 2700


@pytest.mark.parametrize(("back", "kept"), [(0, 1450), (1450, 1450), (2900, 0)])
def test_a_record_that_does_not_say_which_charge_lacks_is_only_lowered(
    back: int, kept: int
) -> None:
    old = StripeRecord("sub_1", 3, refunds={"in_1": (1450, 2900)})

    found = with_money_back(old, MoneyBack("in_1", 2900, {"ch_a": back}))

    assert found.refunds["in_1"] == (kept, 2900)


# --- any order, repetition and loss -------------------------------------------------------


def lives(told: Told, random: Random) -> list[Callable[[], str]]:
    """Return what happens to two charges of one payment, in Stripe's order."""
    steps: list[Callable[[], str]] = []
    for of in ("a", "b"):
        back = random.choice([0, 300, 1450])

        def refund_some(of: str = of, back: int = back) -> str:
            return told.charged(of, 1450, back, disputed=True)

        def fail(of: str = of) -> str:
            told.charged(of, 1450, 0, disputed=True)
            return told.tell("refund.failed", refund("failed", of=of))

        def quarrel(of: str = of) -> str:
            status = random.choice([*OPEN, "lost", "lost", "won"])
            kind = random.choice(sorted(DISPUTE_EVENTS))
            return told.tell(kind, dispute(status, random.choice([500, 1450]), of))

        steps += [refund_some, *random.sample([fail, quarrel, quarrel], random.randint(0, 3))]
    random.shuffle(steps)
    return steps


@pytest.mark.parametrize("seed", range(40))
@in_loop
async def test_in_any_order_repeated_or_lost_it_comes_to_what_stripe_says_in_the_end(
    seed: int,
) -> None:
    random = Random(seed)
    async with stripe_world() as world:
        told = Told(world)
        await with_invoice(world, "a", "b")
        for of in ("a", "b"):
            told.know(charge(of, 1450, 0, disputed=True))
        bodies: list[str] = []
        for step in lives(told, random):
            bodies.append(step())
            if random.random() < 0.5:
                await world.settle(*random.sample(bodies, random.randint(1, len(bodies))))
        world.stripe.pages = {"events": [json.loads(body) for body in reversed(bodies)]}
        await Reconciliation(world.ledger, world.lookups, world.clock).run(NOON)
        await world.settle()

        away = 0
        for of in ("a", "b"):
            has, quarrel = (world.stripe.objects.get(f"{name}_{of}", {}) for name in ("ch", "dp"))
            lost = quarrel["amount"] if quarrel.get("status") == "lost" else 0
            away += min(has["amount_refunded"] + lost, 1450)
        found = await world.subscription()
        slices = [90 * (n + 1) * (2900 - away) // 2900 for n in range(29 + 1)]
        assert found.spendable == TODAY + slices[-1] - slices[0]
        commands = [call.command for call in world.router.calls_seen]
        versions = [one.version for one in commands if isinstance(one, VoidGrants)]
        assert versions == sorted(versions)
