"""What was never delivered is found by comparing with Stripe, and applied as events are."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from actors.protocol.errors import UnavailableError
from actors.stripe.reconciliation import PLACE_AGE_MAX
from actors.stripe.records import ReconcilePlace
from domain.values import UserId
from tests.builders.authors import NOON
from tests.builders.stripe_money import has, reconcile, reconciliation
from tests.fakes.shards import in_loop
from tests.fakes.stripe_world import (
    BEGAN,
    event,
    invoice,
    stripe_world,
    subscription,
)

DAYS_AGO = PLACE_AGE_MAX + timedelta(seconds=1)


@in_loop
async def test_what_was_never_delivered_is_granted_once() -> None:
    async with stripe_world() as world:
        paid = invoice(created=BEGAN)
        delivered_late = json.loads(event("late", "invoice.paid", paid))
        has(world, subscription(), invoices=[paid], events=[delivered_late])

        first = await reconcile(world)
        second = await reconcile(world)

        assert first.differed == 3
        assert (await world.status()).total_credits == 3000
        assert second.differed == 0
        assert second.checked == 3


@in_loop
async def test_more_items_than_stripe_lists_are_no_difference() -> None:
    async with stripe_world() as world:
        whole = subscription()
        (item,) = whole["items"]["data"]
        items = [item | {"id": f"si_{n}", "price": {"id": f"price_{n}"}} for n in range(1, 13)]
        whole["items"] = {"data": items, "has_more": False}
        listed = whole | {"items": {"data": items[:10], "has_more": True}}
        world.stripe.objects["sub_1"] = whole
        world.stripe.pages["subscriptions"] = [listed]

        first = await reconcile(world)
        second = await reconcile(world)
        world.stripe.pages["subscriptions"] = [listed | {"status": "past_due"}]
        third = await reconcile(world)

        assert [first.differed, second.differed, third.differed] == [1, 0, 1]


@in_loop
async def test_an_end_that_was_missed_is_followed() -> None:
    async with stripe_world() as world:
        has(world, subscription())
        await world.settle(
            event("1", "customer.subscription.created", subscription()),
            event("2", "invoice.paid", invoice()),
        )
        ended = subscription(status="canceled", ended_at=BEGAN + 60)
        has(world, ended)

        found = await reconcile(world)

        assert found.differences == ["sub_1: active here, canceled"]
        assert (await world.status()).status == "cancelled"


@in_loop
async def test_what_an_event_told_meanwhile_is_left_alone() -> None:
    async with stripe_world() as world:
        old, new = subscription(status="past_due"), subscription(cancel_at=BEGAN + 1000)
        has(world, old)
        work = reconciliation(world)
        await work.run(NOON)

        world.stripe.objects["sub_1"] = new
        newer = int(NOON.timestamp()) + 5
        await world.settle(
            event("new", "customer.subscription.updated", new, created=newer),
            event("paid", "invoice.paid", invoice()),
        )

        link = (await world.subscription()).stripe
        assert link is not None
        assert link.status == "active"


@in_loop
async def test_all_pages_are_read_and_a_failure_goes_on_where_it_was() -> None:
    async with stripe_world() as world:
        has(world, *(subscription(f"sub_{n}", user=f"user-{n}") for n in range(5)))
        work = reconciliation(world)
        read_page, pages = world.lookups.page, []

        async def fail_on_the_third(kind: str, after: str | None, since: int | None) -> Any:
            pages.append(after)
            world.stripe.away = len(pages) > 2
            return await read_page(kind, after, since)

        world.lookups.page = fail_on_the_third  # type: ignore[method-assign]
        with pytest.raises(UnavailableError):
            await work.run(NOON)
        place = world.ledger.place()
        world.stripe.away, world.lookups.page = False, read_page  # type: ignore[method-assign]
        found = await work.run(NOON)

        assert place is not None
        assert (place.kind, place.after, place.checked) == ("subscriptions", "sub_3", 4)
        assert found.checked == 5
        assert world.ledger.place() is None


@in_loop
async def test_a_subscription_that_cannot_be_read_is_counted_and_passed_over() -> None:
    async with stripe_world() as world:
        has(world, subscription(), {"id": "sub_odd", "status": None})

        found = await reconcile(world)

        assert (found.quarantined, found.differed) == (1, 1)


@in_loop
async def test_what_stripe_does_not_have_is_named_and_left_as_it_is() -> None:
    async with stripe_world() as world:
        has(world, subscription())
        await world.settle(
            event("1", "customer.subscription.created", subscription()),
            event("2", "invoice.paid", invoice()),
        )
        world.stripe.objects.pop("sub_1")
        has(world)

        first, second = await reconcile(world), await reconcile(world)

        assert first.differences == second.differences == ["sub_1: active here, Stripe has none"]
        assert (await world.status()).status == "active"
        assert (await world.status()).total_credits == 3000


OF_BOB = {"user_id": "bob"}
RENAMED: dict[str, tuple[str | None, dict[str, Any]]] = {
    "the subscription": ("ada", {"metadata": OF_BOB}),
    "its customer": (None, {"customer": {"id": "cus_1", "metadata": OF_BOB}}),
}


@pytest.mark.parametrize("what", RENAMED)
@in_loop
async def test_a_subscription_that_names_another_user_is_named_and_stays_where_it_is(
    what: str,
) -> None:
    user, change = RENAMED[what]
    async with stripe_world() as world:
        world.stripe.objects["cus_1"] = {"id": "cus_1", "metadata": {"user_id": "ada"}}
        has(world, subscription(user=user))
        await world.settle(event("1", "customer.subscription.created", subscription(user=user)))
        has(world, subscription(user=user) | change)

        first, second = await reconcile(world), await reconcile(world)
        paused = subscription(user=user, status="past_due") | change
        has(world, paused)
        both = await reconcile(world)

        named = "sub_1: pays for ada here, 'bob' in its metadata"
        assert first.differences == second.differences == [named]
        assert both.differences == [f"sub_1: active here, past_due; {named}"]
        assert (await world.status("bob")).status == "none"
        assert (await world.status()).status == "past_due"


@in_loop
async def test_the_subscription_of_one_who_is_nobody_now_stays_so_whomever_stripe_names() -> None:
    async with stripe_world() as world:
        has(world, subscription())
        await world.settle(event("1", "customer.subscription.created", subscription()))
        record = world.ledger.records["sub_1"]
        nobody = UserId("anon-1")
        world.ledger.records["sub_1"] = replace(
            record, anonymous=True, user_id=nobody, metadata_user=nobody
        )
        has(world, subscription(status="past_due"))

        found = await reconcile(world)

        record = world.ledger.records["sub_1"]
        assert found.differences == ["sub_1: active here, past_due"]
        assert (record.user_id, record.metadata_user) == (nobody, nobody)
        assert (await world.status()).status == "active"  # Nothing more is told of the old one.


@pytest.mark.parametrize("theirs", [subscription(), subscription(user=None)])
@in_loop
async def test_one_that_names_its_user_or_nobody_is_no_difference(theirs: dict[str, Any]) -> None:
    async with stripe_world() as world:
        has(world, theirs)
        await world.settle(event("1", "customer.subscription.created", subscription()))

        assert (await reconcile(world)).differences == []


@in_loop
async def test_an_ended_subscription_is_not_named_whoever_it_names() -> None:
    async with stripe_world() as world:
        gone = subscription(status="canceled", ended_at=BEGAN + 9)
        has(world, gone | {"metadata": OF_BOB})
        await world.settle(event("1", "customer.subscription.deleted", gone))

        assert (await reconcile(world)).differences == []


@in_loop
async def test_a_wrong_key_ends_no_subscription() -> None:
    async with stripe_world() as world:
        names = [f"sub_{n}" for n in range(5)]
        has(world, *(subscription(name, user=f"user-{name}") for name in names))
        await reconcile(world)
        for name in names:
            world.stripe.objects.pop(name)
        has(world, subscription("sub_other", user="eve"))

        found = await reconcile(world)

        assert found.differed == 1 + 5
        for name in names:
            assert (await world.status(f"user-{name}")).status == "active"


@in_loop
async def test_what_began_after_its_page_was_read_is_no_difference() -> None:
    async with stripe_world() as world:
        has(world, subscription())
        await world.settle(event("1", "customer.subscription.created", subscription()))
        world.stripe.pages = {}

        found = await reconcile(world)

        assert (found.checked, found.differed) == (1, 0)


@in_loop
async def test_what_was_listed_is_not_asked_for_again() -> None:
    async with stripe_world() as world:
        has(world, *(subscription(f"sub_{n}", user=f"user-{n}") for n in range(5)))
        await reconcile(world)
        world.stripe.calls.clear()
        world.clock.advance(seconds=60)

        found = await reconcile(world)

        assert (found.checked, found.differed) == (5, 0)
        assert not set(world.stripe.calls) & {f"sub_{n}" for n in range(5)}


@in_loop
async def test_a_place_that_is_too_old_begins_anew() -> None:
    async with stripe_world() as world:
        has(world, *(subscription(f"sub_{n}", user=f"user-{n}") for n in range(3)))
        world.ledger.note_place(ReconcilePlace("events", "evt_gone", 7, 2, NOON - DAYS_AGO))

        found = await reconcile(world)

        assert (found.checked, found.differed) == (3, 3)
