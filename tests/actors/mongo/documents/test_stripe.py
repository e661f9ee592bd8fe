"""Subscriptions that follow Stripe's are the same in RAM and in every store."""

from datetime import timedelta
from typing import Any

import pytest

from actors.protocol.store import Store
from domain.documents.recovery import recover
from domain.messages import AddCredit, Command, GrantFromStripe, RecordUsage
from domain.pack_messages import AddPack
from domain.payments import Payment
from domain.recalls import NOTHING_BESIDE
from domain.stripe import ApplyStripeState, StripeItem, StripeLink, VoidGrants
from domain.values import Credits, UserId
from tests.builders.authors import NOON, POLICY, Author, write
from tests.fakes.setups import Setup

ADA = UserId("ada")
MONTH = timedelta(days=30)


def paid(number: int) -> GrantFromStripe:
    start = NOON + number * MONTH
    payment = Payment("stripe", f"in_{number}", 2900, "eur")
    return GrantFromStripe(ADA, Credits(3000), start, start + MONTH, payment, "sub_1")


def pack(name: str, amount: int, priority: int = 50) -> AddPack:
    payment = Payment("stripe", name, 900, "eur")
    return AddPack(ADA, Credits(amount), payment, NOON + 3 * MONTH, priority, paid_to_stripe=True)


def bought(name: str) -> AddCredit:
    return AddCredit(ADA, Credits(1000), 20, Payment("card", name, 900, "eur"))


def state(version: int, status: str = "active", **fields: Any) -> ApplyStripeState:
    known: dict[str, Any] = {
        "customer_id": "cus_1",
        "created": NOON,
        "period_end": NOON + MONTH,
        "cancel_at": None,
        "ended_at": None,
        "items": (StripeItem("price_1", 2),),
    }
    link = StripeLink(subscription_id="sub_1", status=status, version=version, **(known | fields))
    return ApplyStripeState(ADA, link)


LIFE: list[Command] = [
    state(1),
    paid(0),
    state(2, period_end=NOON + 2 * MONTH),
    VoidGrants(ADA, "in_0", 2, 3),
    paid(1),
    state(3, "past_due", cancel_at=NOON + MONTH),
    VoidGrants(ADA, "in_0", 1, 3),
    VoidGrants(ADA, "in_0", 2, 3, 5),
    VoidGrants(ADA, "in_0", 3, 3, 6),
    VoidGrants(ADA, "in_0", 0, 1, 7),
    VoidGrants(ADA, "in_1", 0, 3, 7),
    VoidGrants(ADA, "in_0", 3, 3, 8),
    state(4, "canceled", ended_at=NOON),
]
PACKS: list[Command] = [
    pack("in_0 il_1", 500, 10),
    paid(0),
    pack("cs_1", 700),
    RecordUsage(ADA, "chat", Credits(300)),
    VoidGrants(ADA, "in_0", 1, 3, 1),
    VoidGrants(ADA, "cs_1", 0, 2, 2),
    VoidGrants(ADA, "in_0", 0, 3, 3),
    VoidGrants(ADA, "cs_1", 1, 2, 4),
    VoidGrants(ADA, "in_0", 3, 3, 5),
]
HELD: list[Command] = [
    state(1),
    paid(0),
    state(2, "unpaid"),
    paid(1),
    bought("first"),
    bought("second"),
    RecordUsage(ADA, "chat", Credits(7)),
    state(3, "unpaid", period_end=NOON + 2 * MONTH),
    state(4),
    state(5, "paused"),
]
LIVES = {"subscription": LIFE, "packs": PACKS, "held": HELD}


def loaded(store: Store, author: Author) -> object:
    (stored,) = store.load([ADA], author.now)
    return recover(stored, author.now, POLICY, NOTHING_BESIDE).account


@pytest.mark.parametrize("life", LIVES)
def test_every_step_of_what_stripe_was_paid_for_reads_back_as_it_is_in_ram(
    setup: Setup, life: str
) -> None:
    author = Author(ADA)

    for command in LIVES[life]:
        write(setup.store, [author.do(command)])
        assert loaded(setup.store, author) == author.account, command
        author.now += timedelta(hours=7)


def test_a_subscription_that_stripe_ended_has_the_totals_of_its_grants(setup: Setup) -> None:
    author = Author(ADA)

    write(setup.store, [author.do(command) for command in LIFE])

    (document,) = setup.documents("subscriptions")
    assert document["status"] == "cancelled"
    assert document["total_credits"] == sum(grant["amount"] for grant in document["grants"])
    assert document["spendable_credits"] == sum(g["spendable_credits"] for g in document["grants"])


@pytest.mark.parametrize("life", LIVES)
def test_the_whole_life_in_one_write_reads_back_too(setup: Setup, life: str) -> None:
    author = Author(ADA)

    write(setup.store, [author.do(command) for command in LIVES[life]])

    assert loaded(setup.store, author) == author.account


def test_a_pack_says_what_refunds_took_of_it(setup: Setup) -> None:
    author = Author(ADA)

    write(setup.store, [author.do(command) for command in PACKS])

    documents = {d["payment"]["transaction_id"]: d for d in setup.documents("packs")}
    fields = ("amount", "spendable_credits", "credits_used", "refunded_credits", "share_version")
    shown = {name: tuple(one[field] for field in fields) for name, one in documents.items()}
    assert shown == {
        "in_0 il_1": (500, 450, 210, 0, 5),
        "cs_1": (700, 315, 0, 315, 4),
    }


def test_a_subscription_of_another_program_is_followed_and_keeps_its_days(setup: Setup) -> None:
    setup.insert(
        "subscriptions",
        _id="c" * 24,
        user_id=ADA,
        start_date=NOON - timedelta(days=3),
        end_date=NOON + timedelta(days=7),
        total_credits=1000,
        spendable_credits=900,
        status="active",
        stripe={"note": "theirs"},
    )
    author = Author.of(setup.store.load([ADA], NOON)[0])
    (before,) = author.account.subscriptions
    day = before.first_day + timedelta(days=5)

    write(setup.store, [author.do(command) for command in (paid(0), state(1))])

    (document,) = setup.documents("subscriptions")
    (after,) = author.account.subscriptions
    assert loaded(setup.store, author) == author.account
    assert (document["stripe"]["note"], document["stripe"]["subscription_id"]) == (
        "theirs",
        "sub_1",
    )
    assert after.limit(day) == before.limit(day) + 90
