"""Faults that users of other credit and billing systems have reported: here they do not happen.

Each test names the public report it was made from.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from actors.protocol.calls import Call, Outcome
from domain.messages import AddCredit
from domain.payments import Payment
from domain.values import Credits, UserId
from tests.builders.authors import NOON
from tests.fakes.memory_store import MemoryStore
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import (
    Clock,
    ask,
    ask_one,
    charge_call,
    credit_call,
    in_loop,
    running,
    status,
)
from tests.fakes.stripe_world import ADA, MONTH, event, invoice, stripe_world, subscription
from tests.service.mongoose import subscription_document

ANN = UserId("ann")


@in_loop
async def test_the_same_top_up_sent_twice_without_a_key_is_granted_once() -> None:
    """getlago/lago-api#5870: both were granted."""
    paid = AddCredit(ANN, Credits(3000), 30, Payment("card", "pi_1", 2900, "eur"))
    async with running(MemoryStore()) as shard:
        replies = await ask(
            shard, *(Call(paid, f"made up {n}", keep_refusal=False) for n in (1, 2))
        )
        shown = await status(shard, ANN)

    assert [reply.outcome for reply in replies] == [Outcome.DONE, Outcome.REFUSED]
    assert shown.total_credits == 3000


@in_loop
async def test_a_top_up_of_a_balance_below_zero_pays_the_debt_first() -> None:
    """flexprice/flexprice#1039: the whole top-up could be spent."""
    async with running(MemoryStore()) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30, "1"))
        await ask_one(shard, charge_call(ANN, 150, "k-1", record=True))
        owing = await status(shard, ANN)
        await ask_one(shard, credit_call(ANN, 3000, 30, "2"))
        refused = await ask_one(shard, charge_call(ANN, 31, "k-2"))
        passed = await ask_one(shard, charge_call(ANN, 30, "k-3"))

    assert owing.remaining_credits == -60
    assert (refused.outcome, passed.outcome) == (Outcome.REFUSED, Outcome.DONE)


@in_loop
async def test_a_month_that_begins_shortly_before_midnight_is_one_month(
    embedded: MongoSetup,
) -> None:
    """Wei-Shaw/sub2api#5051: it had two months' credits."""
    start = datetime(2026, 7, 17, 23, 30, tzinfo=UTC)
    document = subscription_document(ANN)
    embedded.database.subscriptions.insert_one(
        document | {"start_date": start, "end_date": start + timedelta(days=30)}
    )
    clock, spent = Clock(start), 0
    async with running(embedded.store, clock=clock) as shard:
        for day in range(40):
            left = max(0, (await status(shard, ANN)).remaining_credits)
            reply = await ask_one(shard, charge_call(ANN, left, f"day {day}"))
            spent += left * (reply.outcome is Outcome.DONE)
            clock.advance(days=1)

    assert spent == 2700


@in_loop
async def test_a_day_begins_at_the_users_midnight(embedded: MongoSetup) -> None:
    """microsoft/vscode#264320, kirodotdev/Kiro#7005: it began hours later, at the server's."""
    zone = ZoneInfo("Asia/Karachi")
    start = datetime(2026, 3, 30, tzinfo=zone)
    document = subscription_document(ANN, timezone="Asia/Karachi")
    embedded.database.subscriptions.insert_one(
        document | {"start_date": start, "end_date": start + timedelta(days=30)}
    )
    clock = Clock(datetime(2026, 3, 31, 23, 59, 59, tzinfo=zone).astimezone(UTC))
    async with running(embedded.store, clock=clock) as shard:
        await ask_one(shard, charge_call(ANN, 180, "k"))
        before = await status(shard, ANN)
        clock.advance(seconds=1)
        after = await status(shard, ANN)

    assert (before.remaining_credits, after.remaining_credits) == (0, 90)
    assert before.resets_at == clock()


@in_loop
async def test_an_upgrade_that_leaves_the_old_document_behind_is_no_second_subscription(
    embedded: MongoSetup,
) -> None:
    """better-auth/better-auth#7099: an upgrade made a second row, and both were active."""
    old = subscription_document(ANN)
    new = subscription_document(ANN)
    for document, days_ago, spendable in ((old, 10, 2700), (new, 0, 5400)):
        start = NOON.replace(hour=0) - timedelta(days=days_ago)
        dates = {"start_date": start, "end_date": start + timedelta(days=30)}
        amounts = {"total_credits": spendable, "system_portion": 0, "spendable_credits": spendable}
        embedded.database.subscriptions.insert_one(document | dates | amounts)
    async with running(embedded.store) as shard:
        shown = await status(shard, ANN)
        refused = await ask_one(shard, charge_call(ANN, 181, "k-1"))
        passed = await ask_one(shard, charge_call(ANN, 180, "k-2"))

    assert shown.subscription_id == str(new["_id"])
    assert (refused.outcome, passed.outcome) == (Outcome.REFUSED, Outcome.DONE)


@in_loop
async def test_an_invoice_that_is_delivered_twice_at_once_is_granted_once() -> None:
    """vm0-ai/vm0#10668: both deliveries passed the check."""
    paid = event("paid", "invoice.paid", invoice(), 1)
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription()
        await world.settle(paid, paid)
        await world.settle(event("again", "invoice.paid", invoice(), 2))
        shown = await world.status()

    assert shown.total_credits == 3000


@in_loop
async def test_a_checkout_and_its_invoice_are_granted_once() -> None:
    """masumi-network/sokosumi#1846: a checkout's credits came again with its invoice."""
    session = {
        "id": "cs_1",
        "object": "checkout.session",
        "mode": "subscription",
        "payment_status": "paid",
        "customer": "cus_1",
        "subscription": "sub_1",
        "invoice": "in_1",
        "client_reference_id": ADA,
        "metadata": {},
    }
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription(user=None)
        world.stripe.objects["cs_1"] = session
        await world.settle(
            event("done", "checkout.session.completed", session, 1),
            event("paid", "invoice.paid", invoice(), 2),
        )
        shown = await world.status()

    assert shown.total_credits == 3000


@in_loop
async def test_two_updates_of_one_change_are_one_change() -> None:
    """buttondown/roadmap#1682: a new card of who was past due is told twice."""
    due = subscription(status="past_due")
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = due
        await world.settle(
            event("1", "customer.subscription.created", subscription()),
            event("paid", "invoice.paid", invoice(), 1),
            event("due", "customer.subscription.updated", due, 2),
        )
        world.stripe.objects["sub_1"] = subscription(default_payment_method="pm_2")
        await world.settle(
            event(
                "3", "customer.subscription.updated", due | {"default_payment_method": "pm_2"}, 3
            ),
            event("4", "customer.subscription.updated", world.stripe.objects["sub_1"], 3),
        )
        shown = await world.status()

    assert (shown.status, shown.total_credits) == ("active", 3000)


@in_loop
async def test_what_is_cancelled_at_once_is_over_at_once() -> None:
    """better-auth/better-auth#3978: it was still listed as active."""
    over = subscription(status="canceled", ended_at=int(NOON.timestamp()))
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription()
        await world.settle(event("paid", "invoice.paid", invoice(), 1))
        world.stripe.objects["sub_1"] = over
        await world.settle(event("over", "customer.subscription.deleted", over, 2))
        shown = await world.status()
        refused = await ask_one(world.shard, charge_call(ADA, 1, "k"))

    assert (shown.status, shown.remaining_credits) == ("cancelled", 0)
    assert refused.outcome is Outcome.REFUSED


@in_loop
async def test_an_invoice_grants_what_its_price_says_and_not_what_was_paid() -> None:
    """Significant-Gravitas/AutoGPT#13093: every amount paid became credits, a year's in advance too."""
    yearly = invoice("in_2")
    line = yearly["lines"]["data"][0]
    yearly["lines"]["data"][0] = line | {
        "amount": 46002,
        "period": {"start": line["period"]["start"], "end": line["period"]["start"] + 12 * MONTH},
        "pricing": {"price_details": {"price": "price_year", "product": "prod_1"}},
    }
    async with stripe_world() as world:
        world.stripe.objects["sub_1"] = subscription()
        world.stripe.objects["price_year"] = {"id": "price_year", "metadata": {}}
        world.stripe.objects["prod_1"] = {"id": "prod_1", "metadata": {}}
        await world.settle(event("1", "invoice.paid", invoice(), 1))
        await world.settle(event("2", "invoice.paid", yearly, 2))
        shown = await world.status()

    assert shown.total_credits == 3000


@in_loop
async def test_what_was_used_before_a_renewal_is_not_used_of_the_next_days() -> None:
    """stackblitz/bolt.new#5284, lobehub/lobehub#9051: the new period began with the old one's use."""
    clock = Clock(NOON)
    async with running(MemoryStore(), clock=clock) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 1, "1"))
        await ask_one(shard, charge_call(ANN, 2700, "k-1"))
        await ask_one(shard, credit_call(ANN, 3000, 30, "2"))
        same_day = await status(shard, ANN)
        clock.advance(days=1)
        next_day = await status(shard, ANN)

    assert same_day.credits_used == 2700
    assert (next_day.credits_used, next_day.daily_credit_limit) == (0, 90)
