"""Credits that are sold once and not spread over days: packs, and what goes back of them."""

import json
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from actors.mongo.stripe import RECORD
from actors.stripe.records import StripeRecord
from domain.packs import Category
from tests.builders.authors import NOON
from tests.builders.stripe_money import charge, has, reconcile, refunded
from tests.builders.stripe_packs import COMPLETED, SESSION, left, packs_of, sells, sold
from tests.builders.stripe_prices import CREATED, NAMED, OLD, know, line, paid, price
from tests.fakes.shards import in_loop
from tests.fakes.stripe_world import (
    BEGAN,
    event,
    invoice,
    stripe_world,
    subscription,
)

BEGUN = datetime.fromtimestamp(BEGAN, UTC)


# --- what a price says ----------------------------------------------------------------------


@in_loop
async def test_a_price_that_is_sold_once_without_days_grants_a_pack_that_never_expires() -> None:
    async with stripe_world() as world:
        sells(world, sold(credits="1000"), quantity=3)

        await world.settle(COMPLETED, COMPLETED)

        (pack,) = await packs_of(world)
        assert (pack.spendable, pack.priority, pack.expires_at) == (2700, 50, None)
        assert (pack.category, pack.transaction_id) == (Category.PAID, "cs_1")
        shown = await world.status()
        assert (shown.status, shown.pack_credits, shown.total_credits) == ("none", 2700, 0)


@in_loop
async def test_expiry_is_counted_from_the_payment_however_late_it_is_told() -> None:
    async with stripe_world(NOON + timedelta(days=5)) as world:
        sells(world, sold(credits="1000", expires_days="30", priority="10"))

        await world.settle(COMPLETED)

        (pack,) = await packs_of(world)
        assert (pack.priority, pack.expires_at) == (
            10,
            BEGUN + timedelta(days=30, seconds=60),
        )


@in_loop
async def test_what_is_told_after_its_expiry_is_there_and_gives_nothing() -> None:
    async with stripe_world(NOON + timedelta(days=5)) as world:
        sells(world, sold(credits="1000", expires_days="3"))

        await world.settle(COMPLETED)

        (pack,) = await packs_of(world)
        assert pack.spendable == 900
        assert await left(world) == 0
        assert world.states() == {"evt_cs": "applied"}


@in_loop
async def test_each_line_of_a_checkout_is_a_pack_or_given_over_days_as_its_price_says() -> None:
    async with stripe_world() as world:
        over_days = sold(credits="100", days="10", expires_days="5", priority="1")
        sells(world, sold(credits="1000"), over_days, sold(credits="50", priority="0"), {"id": "x"})

        await world.settle(COMPLETED)

        shown = [(p.transaction_id, p.spendable, p.priority) for p in await packs_of(world)]
        assert shown == [("cs_1 li_0", 900, 50), ("cs_1 li_2", 45, 0)]
        (grant,) = (await world.subscription()).grants
        assert (grant.amount, grant.days, grant.transaction_id) == (100, 10, "cs_1 li_1")


@pytest.mark.parametrize("paid_at", [None, BEGAN - 500])
@in_loop
async def test_a_line_of_a_subscriptions_invoice_grants_a_pack_beside_the_period(
    paid_at: int | None,
) -> None:
    async with stripe_world() as world:
        know(world, OLD, sold(credits="1000", expires_days="7"))
        now = {"period": {"start": BEGAN, "end": BEGAN}, "quantity": 2}
        both = [line("il_a", "price_1", 2900), line("il_b", "price_p", 900, **now)]
        about = invoice("in_2", lines={"data": both}, status_transitions={"paid_at": paid_at})
        kinds = ("invoice.payment_succeeded", "invoice.paid")

        await world.settle(CREATED, *(event(k, k, about, 5) for k in kinds))

        (pack,) = await packs_of(world)
        at = datetime.fromtimestamp(BEGAN + 5 if paid_at is None else paid_at, UTC)
        assert (pack.spendable, pack.transaction_id) == (1800, "in_2 il_b")
        assert pack.expires_at == at + timedelta(days=7)
        assert (await world.subscription()).total == 3000


@in_loop
async def test_a_pack_outlives_the_subscription_whose_invoice_it_was_on() -> None:
    async with stripe_world() as world:
        know(world, sold(credits="1000"))
        await world.settle(CREATED, paid(line("il_b", "price_p", 900)))
        gone = subscription(status="canceled", ended_at=BEGAN + 60)
        world.stripe.objects["sub_1"] = gone

        await world.settle(event("gone", "customer.subscription.deleted", gone, 60))
        world.clock.advance(days=90)

        assert await left(world) == 900


RANGES = {
    "days": (1, 3660),
    "expires_days": (1, 3660),
    "priority": (0, 100),
}
SAID: dict[str, int | None] = {
    **{str(n): n for n in (0, 1, 50, 100, 101, 3660, 3661, 10**20)},
    " 7 ": 7,
    "": None,
    "  ": None,
    **dict.fromkeys(("-1", "1.5", "1,5", "1e1", "never", "٣"), -1),
}


@pytest.mark.parametrize("place", ["price", "product"])
@pytest.mark.parametrize("text", SAID)
@pytest.mark.parametrize("name", RANGES)
@in_loop
async def test_every_text_is_in_its_range_or_says_nothing_or_makes_a_dead_letter_that_names_it(
    name: str, text: str, place: str
) -> None:
    async with stripe_world() as world:
        said = {f"allotment_{name}": text}
        product = {"id": "prod_price_p", "metadata": said if place == "product" else {}}
        world.stripe.objects["prod_price_p"] = product
        own = {"allotment_credits": "1000"} | (said if place == "price" else {})
        sells(world, price("price_p", own, type="one_time"))

        await world.settle(COMPLETED)

        number, (least, most) = SAID[text], RANGES[name]
        is_good = number is None or least <= number <= most
        assert world.states() == {"evt_cs": "applied" if is_good else "failed"}
        if not is_good:
            (dead,) = world.ledger.unapplied(10)
            whose = "price_p" if place == "price" else "prod_price_p"
            assert f"allotment_{name} of {whose} is" in (dead.last_error or "")
        shown = await world.status()
        assert shown.total_credits + shown.pack_credits > 0 if is_good else shown.status == "none"


@in_loop
async def test_a_mistake_that_is_mended_gives_the_pack_at_the_next_delivery() -> None:
    async with stripe_world() as world:
        sells(world, sold(credits="1000", priority="101"))
        await world.settle(COMPLETED)
        sells(world, sold(credits="1000", priority="100"))

        await world.settle(COMPLETED)

        (pack,) = await packs_of(world)
        assert pack.priority == 100
        assert world.states() == {"evt_cs": "applied"}


# --- who gets it, and once -------------------------------------------------------------------


@in_loop
async def test_a_pack_waits_for_its_user_and_expires_as_it_would_have() -> None:
    async with stripe_world() as world:
        sells(world, sold(credits="1000", expires_days="30"))
        nobodys = SESSION | {"client_reference_id": None}
        await world.settle(event("cs", "checkout.session.completed", nobodys, 60))
        assert world.states() == {"evt_cs": "received"}
        world.clock.advance(days=2)

        world.stripe.objects["cus_1"] = NAMED
        await world.settle(event("cus", "customer.updated", NAMED, 9))

        (pack,) = await packs_of(world)
        assert pack.expires_at == BEGUN + timedelta(days=30, seconds=60)
        assert set(world.states().values()) == {"applied"}


@pytest.mark.parametrize("payment", ["checkout", "invoice"])
@in_loop
async def test_a_comparison_finds_a_pack_that_was_never_delivered(payment: str) -> None:
    async with stripe_world() as world:
        know(world, sold(credits="1000", expires_days="30"))
        sells(world, sold(credits="1000", expires_days="30"))
        about = invoice("in_2", created=BEGAN + 60, lines={"data": [line("il_b", "price_p", 900)]})
        found = (
            {"invoices": [about]} if payment == "invoice" else {"events": [json.loads(COMPLETED)]}
        )
        has(world, subscription(), **found)

        first, second = await reconcile(world), await reconcile(world)

        (pack,) = await packs_of(world)
        assert (first.differed, second.differed) == (2, 0)
        assert (pack.spendable, pack.expires_at) == (900, BEGUN + timedelta(days=30, seconds=60))


HALF = refunded(charge("a", 1000, 500), 70)
PARTS = {"sold": COMPLETED, "again": COMPLETED, "refunded": HALF, "refunded again": HALF}


@pytest.mark.parametrize("together", [True, False])
@in_loop
async def test_in_every_order_a_checkout_and_its_refund_come_to_the_same(*, together: bool) -> None:
    for order in permutations(PARTS.values()):
        async with stripe_world() as world:
            sells(world, sold(credits="1000"))
            world.stripe.objects["ch_a"] = charge("a", 1000, 500)

            for some in [list(order)] if together else [[body] for body in order]:
                await world.settle(*some)

            (pack,) = await packs_of(world)
            assert (pack.left, pack.refunded) == (450, 450)
            assert set(world.states().values()) == {"applied"}


def test_a_record_of_before_there_were_packs_is_read() -> None:
    before = {
        "subject": "cs_1",
        "payments": {
            "cs_1": [
                {"transaction_id": "cs_1", "credits": 9, "amount": 1, "currency": "eur", "days": 3}
            ]
        },
    }

    record = RECORD.validate_python(before)

    assert isinstance(record, StripeRecord)
    assert (record.payments["cs_1"][0].days, record.payments["cs_1"][0].expires_at) == (3, None)
