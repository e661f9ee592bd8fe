"""Whatever the order of Stripe's events, and however often each comes: one state."""

from dataclasses import replace
from itertools import combinations, permutations
from typing import Any

import pytest

from domain.subscription import Subscription
from domain.values import UserId
from tests.fakes.shards import in_loop
from tests.fakes.stripe_world import StripeWorld, event, invoice, stripe_world, subscription

ITEMS_OF_TWO = subscription()["items"]["data"][0] | {"quantity": 2}
CHARGE = {"id": "ch_1", "amount": 2900, "amount_refunded": 1450, "payment_intent": "pi_1"}
LIFE: dict[str, tuple[str, int, dict[str, Any]]] = {
    "created": ("customer.subscription.created", 0, subscription(status="incomplete")),
    "paid": ("invoice.paid", 1, invoice()),
    "updated": (
        "customer.subscription.updated",
        2,
        subscription(items={"data": [ITEMS_OF_TWO], "has_more": False}),
    ),
    "renewed": ("invoice.paid", 3, invoice("in_2", period=1)),
    "refunded": ("charge.refunded", 4, CHARGE),
    "unpaid": ("customer.subscription.updated", 5, subscription(status="past_due")),
    "deleted": (
        "customer.subscription.deleted",
        6,
        subscription(status="canceled", ended_at=subscription()["created"] + 6),
    ),
}
CHOSEN = list(combinations(LIFE, 4))


def as_stripe_would_answer(names: tuple[str, ...]) -> dict[str, Any]:
    """Return the subscription after the last of these events that tells of it."""
    last = max(LIFE[name][1] for name in names)
    states = [about for kind, at, about in LIFE.values() if at <= last and "subscription." in kind]
    return states[-1]


def body_of(name: str) -> str:
    kind, at, about = LIFE[name]
    return event(name, kind, about, at)


def know_all(world: StripeWorld, names: tuple[str, ...]) -> None:
    world.stripe.objects |= {"in_1": invoice(), "in_2": invoice("in_2", period=1)}
    world.stripe.objects["sub_1"] = as_stripe_would_answer(names)
    world.stripe.invoices_of["pi_1"] = "in_1"


def meaning(found: Subscription) -> Subscription:
    """Return a subscription without what tells only how it came about."""
    grants = sorted(
        (replace(grant, grant_id="", share_version=0) for grant in found.grants if grant.amount),
        key=lambda grant: str(grant.transaction_id),
    )
    link = found.stripe and replace(found.stripe, version=0)
    return replace(found, subscription_id="", grants=tuple(grants), stripe=link, day=None)


async def outcome(names: tuple[str, ...], *, together: bool) -> list[Subscription]:
    async with stripe_world() as world:
        know_all(world, names)
        bodies = [body_of(name) for name in names]
        if together:
            await world.settle(*bodies, *bodies)
        else:
            for body in (*bodies, *reversed(bodies)):
                await world.settle(body, body)
        assert set(world.states().values()) == {"applied"}, world.ledger.events
        await world.status()
        return [meaning(s) for s in world.shard.accounts[UserId("ada")].subscriptions]


@pytest.mark.parametrize("names", CHOSEN, ids="-".join)
@in_loop
async def test_every_order_of_four_repeated_events_ends_the_same(names: tuple[str, ...]) -> None:
    expected = await outcome(names, together=True)

    for order in permutations(names):
        assert await outcome(order, together=False) == expected, order
        assert await outcome(order, together=True) == expected, order


@in_loop
async def test_a_whole_life_ends_cancelled_with_what_was_allocated() -> None:
    (found,) = await outcome(tuple(LIFE), together=False)

    assert found.status == "cancelled"
    assert found.spendable == found.limit(found.first_day)
    assert [grant.transaction_id for grant in found.grants] == ["in_1", "in_2"]
