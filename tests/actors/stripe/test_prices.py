"""What prices say, whatever they say, and what each line of an invoice comes to."""

from datetime import UTC, datetime
from typing import Any

import pytest

from actors.stripe.prices import time_share
from actors.stripe.reconciliation import Reconciliation
from actors.stripe.shapes import read_line, read_price
from tests.builders.authors import NOON
from tests.builders.stripe_prices import CREATED, OLD, know, line, paid, price
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

PAID = event("paid", "invoice.paid", invoice(), 1)
CORRECTION = {"parent": {"subscription_item_details": {"proration": True}}}


async def total(world: StripeWorld) -> int:
    return (await world.status()).total_credits


# --- metadata: every text, on a price and on its product ----------------------------------

TEXTS: dict[str, int | None] = {
    "3000": 3000,
    " 3000 ": 3000,
    "0003000": 3000,
    "0": 0,
    "": None,
    "   ": None,
    "3,000": -1,
    "3 000": -1,
    "3000.0": -1,
    "3e3": -1,
    "-3000": -1,
    "+3000": -1,
    "٣٠٠٠": -1,
    "²": -1,
    "many": -1,
    "null": -1,
    "true": -1,
    "9" * 500: -1,
}
"""What becomes of a text: so many credits; None: nothing is said; -1: a dead letter."""


def meant(text: str, product: int | None) -> int | None:
    said = TEXTS[text]
    return product if said is None else said


@pytest.mark.parametrize("place", ["price", "product"])
@pytest.mark.parametrize("text", TEXTS)
@in_loop
async def test_every_text_of_metadata_is_a_number_nothing_or_a_dead_letter(
    text: str, place: str
) -> None:
    async with stripe_world() as world:
        said, other = {"allotment_credits": text}, {"allotment_credits": "700"}
        product = {"id": "prod_price_1", "metadata": said if place == "product" else other}
        know(world, price("price_1", said if place == "price" else {}), product)

        await world.settle(CREATED, PAID)

        expected = meant(text, 700 if place == "price" else None)
        dead = expected == -1
        assert await total(world) == (0 if dead else expected or 0)
        assert (world.states()["evt_paid"] == "failed") == dead
        assert world.states()["evt_created"] == "applied"


@pytest.mark.parametrize("days", [3660, 3661])
@in_loop
async def test_a_grant_is_given_over_ten_years_at_most(days: int) -> None:
    async with stripe_world() as world:
        know(world, OLD)
        long = {"period": {"start": BEGAN, "end": BEGAN + days * 86_400}}

        await world.settle(CREATED, paid(line("il_a", "price_1", 2900, **long)))

        good = days <= 3660
        assert world.states()["evt_in_2"] == ("applied" if good else "failed")
        assert await total(world) == (3000 if good else 0)


@pytest.mark.parametrize("quantity", [3, 2**53 // 3000 + 1, 10**30])
@in_loop
async def test_more_than_can_be_counted_is_a_dead_letter(quantity: int) -> None:
    async with stripe_world() as world:
        know(world, OLD)

        await world.settle(CREATED, paid(line("il_a", "price_1", 2900, quantity=quantity)))

        assert world.states()["evt_in_2"] == ("applied" if quantity == 3 else "failed")
        assert await total(world) == (9000 if quantity == 3 else 0)


REVIVALS = ["a delivery", "a comparison"]


@pytest.mark.parametrize("by", REVIVALS)
@in_loop
async def test_a_mistake_that_is_mended_is_granted_once(by: str) -> None:
    async with stripe_world() as world:
        know(world, price("price_1", {"allotment_credits": "3,000"}))
        await world.settle(CREATED, PAID)
        before = await total(world)
        know(world, price("price_1", {"allotment_credits": "3000"}))

        if by == "a delivery":
            await world.settle(PAID, PAID)
        else:
            theirs = invoice(created=BEGAN)
            world.stripe.pages = {"subscriptions": [subscription()], "invoices": [theirs]}
            for _ in range(2):
                await Reconciliation(world.ledger, world.lookups, world.clock).run(NOON)
                await world.settle()

        assert (before, await total(world)) == (0, 3000)


@in_loop
async def test_a_dead_letter_that_stripe_still_lists_is_tried_again_by_a_comparison() -> None:
    async with stripe_world() as world:
        know(world, price("price_1", {"allotment_credits": "3,000"}))
        await world.settle(CREATED, PAID)
        know(world, price("price_1", {"allotment_credits": "3000"}))
        theirs = {"id": "evt_paid", "type": "invoice.paid", "created": BEGAN + 1}
        world.stripe.pages = {"subscriptions": [subscription()], "events": [theirs]}

        await Reconciliation(world.ledger, world.lookups, world.clock).run(NOON)
        await world.settle()

        assert set(world.states().values()) == {"applied"}
        assert await total(world) == 3000


# --- corrections --------------------------------------------------------------------------

HALF = {"period": {"start": BEGAN + MONTH // 2, "end": BEGAN + MONTH}}
NEW = {"allotment_credits": "6000"}
UNITS: dict[str, dict[str, Any]] = {
    "a whole amount": {"unit_amount": 5800},
    "parts of a cent": {"unit_amount": None, "unit_amount_decimal": "5800.5"},
    "tiers": {"unit_amount": None, "billing_scheme": "tiered"},
    "tiers beside an amount": {"unit_amount": 1, "billing_scheme": "tiered"},
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("period", "share"), [({}, 1), (HALF, 2)])
@in_loop
async def test_an_upgrade_grants_the_difference_however_the_new_price_is_told(
    unit: str, period: dict[str, Any], share: int
) -> None:
    async with stripe_world() as world:
        know(world, OLD, price("price_2", NEW, **UNITS[unit]))
        await world.settle(CREATED, PAID)
        unused = line("il_a", "price_1", -2900 // share, **CORRECTION, **period)
        more = line("il_b", "price_2", 5800 // share, **CORRECTION, **period)

        await world.settle(paid(unused, more))

        assert await total(world) == 3000 + 3000 // share


@pytest.mark.parametrize("unit", ["parts of a cent", "tiers"])
@in_loop
async def test_a_downgrade_takes_nothing_back_however_its_price_is_told(unit: str) -> None:
    async with stripe_world() as world:
        know(world, OLD, price("price_2", NEW, **UNITS[unit]))
        await world.settle(CREATED, PAID)
        unused = line("il_a", "price_2", -5800, **CORRECTION)
        less = line("il_b", "price_1", 2900, **CORRECTION)

        await world.settle(paid(unused, less))

        assert await total(world) == 3000


def moved(number: int, unused: str, more: str, share: int = 1) -> str:
    """Describe an invoice that corrects a period, from one price to the other."""
    amounts = {"price_1": 2900 // share, "price_2": 5800 // share}
    period = {} if share == 1 else HALF
    lines = (
        line(f"il_a{number}", unused, -amounts[unused], **CORRECTION, **period),
        line(f"il_b{number}", more, amounts[more], **CORRECTION, **period),
    )
    return paid(*lines, name=f"in_{number}", at=number)


@in_loop
async def test_who_goes_back_and_forth_between_prices_gets_the_difference_once() -> None:
    async with stripe_world() as world:
        know(world, OLD, price("price_2", NEW, unit_amount=5800))
        await world.settle(CREATED, PAID)

        totals = []
        for number, (unused, more, share) in enumerate(
            [
                ("price_1", "price_2", 1),
                ("price_2", "price_1", 1),
                ("price_1", "price_2", 1),
                ("price_2", "price_1", 2),
                ("price_2", "price_1", 2),
                ("price_1", "price_2", 1),
                ("price_1", "price_2", 2),
            ],
            5,
        ):
            await world.settle(moved(number, unused, more, share))
            totals.append(await total(world))

        # 1,500 twice of what was given back make one upgrade of 3,000 that gives nothing.
        assert totals == [6000, 6000, 6000, 6000, 6000, 6000, 7500]


@in_loop
async def test_a_part_of_an_upgrade_that_was_given_back_before_is_given_no_more() -> None:
    async with stripe_world() as world:
        know(world, OLD, price("price_2", NEW, unit_amount=5800))
        await world.settle(CREATED, PAID)
        await world.settle(moved(5, "price_2", "price_1", share=2))

        await world.settle(moved(6, "price_1", "price_2"))
        await world.settle(moved(6, "price_1", "price_2"))

        (first, second) = (await world.subscription()).grants
        assert (first.amount, second.amount) == (3000, 1500)


@pytest.mark.parametrize("quantity", [1, 3])
@in_loop
async def test_where_no_line_has_an_amount_of_a_unit_the_period_says_the_share(
    quantity: int,
) -> None:
    async with stripe_world() as world:
        tiers = UNITS["tiers"]
        know(
            world,
            price("price_1", {"allotment_credits": "3000"}, **tiers),
            price("price_2", NEW, **tiers),
        )
        await world.settle(CREATED, PAID)
        # From 25 March, half of a month that ends on 9 April at the same time.
        half = {
            "period": {"start": BEGAN + MONTH // 2, "end": BEGAN + MONTH},
            "quantity": quantity,
        }
        unused = line("il_a", "price_1", -17, **CORRECTION, **half)
        more = line("il_b", "price_2", 31, **CORRECTION, **half)

        await world.settle(paid(unused, more))

        # The month before 9 April has 31 days.
        assert await total(world) == 3000 + quantity * 3000 * 15 // 31


def test_a_period_that_ends_on_a_months_last_day_may_have_begun_on_a_later_one() -> None:
    def share(start: datetime, end: datetime, interval: str, count: int = 1) -> float:
        period = {"start": int(start.timestamp()), "end": int(end.timestamp())}
        of = {"recurring": {"interval": interval, "interval_count": count}}
        return float(time_share(read_line({"period": period}), read_price(of)))

    def on(year: int, month: int, day: int) -> datetime:
        return datetime(year, month, day, 9, tzinfo=UTC)

    assert share(on(2026, 1, 31), on(2026, 2, 28), "month") == 1
    assert share(on(2026, 1, 28), on(2026, 2, 28), "month") == 1
    assert share(on(2026, 2, 14), on(2026, 2, 28), "month") == 14 / 28
    assert share(on(2026, 12, 15), on(2027, 1, 15), "month") == 1
    assert share(on(2026, 1, 31), on(2026, 4, 30), "month", 3) == 1
    assert share(on(2024, 2, 29), on(2025, 2, 28), "year") == 1
    assert share(on(2026, 3, 1), on(2026, 3, 8), "week", 2) == 0.5
    assert share(on(2026, 3, 1), on(2026, 6, 1), "day", 1) == 1


@in_loop
async def test_a_correction_whose_share_nobody_can_tell_is_a_dead_letter() -> None:
    async with stripe_world() as world:
        silent = price("price_2", NEW, unit_amount=None, recurring=None)
        know(world, OLD, silent)

        await world.settle(CREATED, PAID, paid(line("il_b", "price_2", 5800, **CORRECTION)))

        assert world.states()["evt_in_2"] == "failed"
        assert await total(world) == 3000


# --- what has no period, and what was used ------------------------------------------------


@in_loop
async def test_what_is_sold_once_on_a_subscriptions_invoice_is_given_over_its_days() -> None:
    async with stripe_world() as world:
        said = {"allotment_credits": "1000", "allotment_days": "20"}
        know(world, OLD, price("price_once", said, type="one_time", recurring=None))
        now = {"period": {"start": BEGAN, "end": BEGAN}}
        both = (line("il_a", "price_1", 2900), line("il_b", "price_once", 900, **now))

        await world.settle(CREATED, paid(*both))

        grants = (await world.subscription()).grants
        shown = [(g.amount, g.days, g.stripe_subscription_id) for g in grants if g.amount]
        assert shown == [(3000, 30, "sub_1"), (1000, 20, None)]


@pytest.mark.parametrize("shape", ["price", "plan"])
@in_loop
async def test_what_was_used_and_is_paid_for_afterwards_grants_nothing(shape: str) -> None:
    async with stripe_world() as world:
        recurring = {"interval": "month", "usage_type": "metered"}
        metered = price("price_m", {"allotment_credits": "3000"}, recurring=recurring)
        know(world, OLD, metered)
        of = {"plan": metered | {"usage_type": "metered"}} if shape == "plan" else {}
        used = line("il_b", "price_m", 1234, quantity=1234, **of)

        await world.settle(CREATED, paid(line("il_a", "price_1", 2900), used))

        assert await total(world) == 3000
