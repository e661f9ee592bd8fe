"""Money that goes back: which payment it was for, and which share of its credits it takes."""

from itertools import permutations
from typing import Any

import pytest

from tests.builders.stripe_money import charge, refunded, with_invoice
from tests.fakes.shards import in_loop
from tests.fakes.stripe_world import event, stripe_world

PACK = {"id": "p", "metadata": {"allotment_credits": "1000", "allotment_days": "10"}}
SESSION: dict[str, Any] = {
    "id": "cs_1",
    "mode": "payment",
    "payment_status": "paid",
    "client_reference_id": "ada",
    "currency": "eur",
    "amount_total": 1000,
}


@in_loop
async def test_a_charge_takes_back_its_part_of_the_whole_invoice() -> None:
    async with stripe_world() as world:
        await with_invoice(world, "a", "b")

        await world.settle(refunded(charge("a", 1450, 1450), 20))

        assert (await world.subscription()).spendable == 90 + (2700 - 90) // 2


@in_loop
async def test_what_a_balance_has_paid_is_not_taken_back_with_the_card() -> None:
    async with stripe_world() as world:
        await with_invoice(world, "a")

        await world.settle(refunded(charge("a", 1000, 1000), 20))

        assert (await world.subscription()).spendable == 90 + 2610 * 1900 // 2900


STEPS = [
    refunded(charge("a", 1000, 400), 20, "1"),
    refunded(charge("a", 1000, 1000), 30, "2"),
    refunded(charge("b", 900, 450), 25),
]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", list(permutations(range(3))))
@in_loop
async def test_refunds_of_several_charges_add_up_in_every_order(
    order: tuple[int, ...], *, together: bool
) -> None:
    async with stripe_world() as world:
        await with_invoice(world, "a", "b")
        bodies = [STEPS[number] for number in order]

        for some in [bodies] if together else [[body] for body in bodies]:
            await world.settle(*some, *some)

        (grant,) = (await world.subscription()).grants
        assert [(void.kept, void.parts) for void in grant.voids] == [(2900 - 1450, 2900)]


@in_loop
async def test_all_charges_refunded_leave_only_what_was_allocated() -> None:
    async with stripe_world() as world:
        await with_invoice(world, "a", "b")

        for name in ("a", "b"):
            await world.settle(refunded(charge(name, 1450, 1450), 20))

        assert (await world.subscription()).spendable == 90


SHAPES: dict[str, dict[str, Any]] = {
    "since basil": {},
    "before": {"invoice": "in_9"},
    "no invoice": {"invoice": None},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [(1000, 1000), (1000, 500)])
@in_loop
async def test_what_a_checkout_sold_that_made_an_invoice_is_taken_back(
    shape: str, share: tuple[int, int]
) -> None:
    amount, back = share
    async with stripe_world() as world:
        world.stripe.lines["cs_1"] = [{"id": "li_1", "price": PACK, "quantity": 1}]
        world.stripe.checkouts_of["pi_a"] = "cs_1"
        world.stripe.objects |= {"cs_1": SESSION, "in_9": {"id": "in_9", "total": 1000}}
        if shape == "since basil":
            world.stripe.invoices_of["pi_a"] = "in_9"
        await world.settle(event("cs", "checkout.session.completed", SESSION))

        await world.settle(refunded(charge("a", amount, back, **SHAPES[shape]), 9))

        (grant,) = (await world.subscription()).grants
        assert grant.spendable == 90 + 810 * (amount - back) // amount


@in_loop
async def test_a_charge_of_nothing_of_ours_changes_nothing() -> None:
    async with stripe_world() as world:
        await with_invoice(world, "a")
        world.stripe.objects["in_8"] = {"id": "in_8", "total": 500}
        world.stripe.invoices_of["pi_b"] = "in_8"

        for name in ("b", "c"):
            await world.settle(refunded(charge(name, 500, 500), 20))

        assert (await world.subscription()).spendable == 2700
        assert set(world.states().values()) == {"applied"}


@in_loop
async def test_a_charge_is_asked_for_so_an_old_event_takes_no_old_share() -> None:
    async with stripe_world() as world:
        await with_invoice(world, "a")
        world.stripe.objects["ch_a"] = charge("a", 2900, 2900)

        await world.settle(refunded(charge("a", 2900, 100), 20))

        assert (await world.subscription()).spendable == 90
