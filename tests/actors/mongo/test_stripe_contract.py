"""What every ledger of Stripe's events and records promises, in memory and in MongoDB."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from actors.mongo.stripe import MongoStripe
from actors.stripe.payloads import read_event
from actors.stripe.records import (
    EventState,
    Grantable,
    ReconcilePlace,
    StripeEvent,
    StripeRecord,
    StripeStore,
    Urgency,
    Waiting,
)
from actors.stripe.shapes import read_subscription
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.memory_stripe import MemoryStripe
from tests.fakes.setups import MongoSetup
from tests.fakes.stripe_world import event, subscription

LATER = NOON + timedelta(minutes=5)


@pytest.fixture(params=["memory", "mongomock", "embedded"])
def ledger(request: pytest.FixtureRequest) -> Iterator[StripeStore]:
    if request.param == "memory":
        yield MemoryStripe()
        return
    setup: MongoSetup = request.getfixturevalue(request.param)
    yield MongoStripe(setup.database)


def told(name: str, at: int = 0, **fields: Any) -> StripeEvent:
    about = subscription(fields.pop("subject", "sub_1"))
    body = event(name, "customer.subscription.updated", about, at)
    return replace(read_event(body, NOON), **fields)


def record(**fields: Any) -> StripeRecord:
    return replace(
        StripeRecord(
            "sub_1",
            revision=1,
            stamp=7,
            event_id="1 evt_1",
            state=read_subscription(subscription(cancel_at=1_900_000_000)).state(),
            metadata_user="ada",
            customer_id="cus_1",
            user_id=UserId("ada"),
            payments={
                "in_1": (
                    Grantable("in_1 a", 3000, 2900, "eur", NOON, LATER),
                    Grantable("in_1 b", 10, 29, "eur", days=3),
                    Grantable("in_1 c", 500, 900, "eur", expires_at=LATER, priority=0),
                )
            },
            given_back=7,
            owed=("in_1",),
            refunds={"in_1": (1, 3)},
        ),
        **fields,
    )


def test_an_event_is_kept_once_and_reads_back(ledger: StripeStore) -> None:
    first, second = ledger.keep(told("1")), ledger.keep(told("1"))

    assert (first, second) == (True, False)
    assert ledger.pending("sub_1") == [told("1")]
    assert ledger.known_events(["evt_1", "evt_2"]) == {"evt_1"}


def test_what_waits_is_found_by_its_subject_in_the_order_of_its_time(ledger: StripeStore) -> None:
    for one in (told("b", 5), told("a", 9), told("c", 1), told("d", 0, subject="sub_2")):
        ledger.keep(one)

    assert sorted(ledger.due(NOON, 10, fresh=True)) == ["sub_1", "sub_2"]
    assert ledger.due(NOON - timedelta(seconds=1), 10, fresh=True) == []
    assert [one.event_id for one in ledger.pending("sub_1")] == ["evt_c", "evt_b", "evt_a"]


def test_what_is_applied_waits_no_more_even_if_it_comes_again(ledger: StripeStore) -> None:
    ledger.keep(told("1"))
    ledger.applied(["evt_1"], NOON, "applied")

    assert ledger.keep(told("1")) is False
    assert ledger.due(LATER, 10, fresh=True) == []
    assert ledger.unapplied(10) == []


def test_what_is_postponed_is_due_later_and_says_why(ledger: StripeStore) -> None:
    ledger.keep(told("1"))
    ledger.postpone(["evt_1"], LATER, "Stripe is away")

    (waiting,) = ledger.unapplied(10)
    assert (waiting.attempts, waiting.last_error) == (1, "Stripe is away")
    assert ledger.due(NOON, 10, fresh=True) == []
    assert ledger.due(LATER, 10, fresh=True) == ["sub_1"]


def test_what_rests_is_due_later_and_has_not_been_tried(ledger: StripeStore) -> None:
    ledger.keep(told("1"))
    ledger.rest(["evt_1"], LATER)

    assert ledger.due(NOON, 10, fresh=True) == []
    assert ledger.pending("sub_1")[0].attempts == 0


def test_a_dead_letter_is_shown_first_and_revived_by_a_delivery(ledger: StripeStore) -> None:
    ledger.keep(told("1"))
    ledger.keep(told("2"))
    ledger.fail(["evt_2"], "it cannot be")
    shown = ledger.unapplied(10)

    ledger.keep(told("2", received_at=LATER))

    assert [(one.event_id, one.state) for one in shown] == [
        ("evt_2", EventState.FAILED),
        ("evt_1", EventState.RECEIVED),
    ]
    assert [one.event_id for one in ledger.pending("sub_1")] == ["evt_1", "evt_2"]


def test_parked_events_wake_with_their_customer(ledger: StripeStore) -> None:
    ledger.keep(told("1"))
    ledger.postpone(["evt_1"], LATER, "nobody knows", parked=True)

    ledger.wake("cus_2", NOON)
    asleep = ledger.due(NOON, 10, fresh=True), ledger.due(NOON, 10, fresh=False)
    waiting = ledger.due(LATER, 10, fresh=False)
    ledger.wake("cus_1", NOON)

    assert (asleep, waiting) == (([], []), ["sub_1"])
    assert ledger.due(NOON, 10, fresh=True) == ["sub_1"]


def test_a_dead_letter_wakes_with_its_customer_if_its_user_was_not_known(
    ledger: StripeStore,
) -> None:
    for name in ("1", "2", "3"):
        ledger.keep(told(name, subject=f"sub_{name}"))
    for name in ("evt_1", "evt_2"):
        ledger.postpone([name], LATER, "nobody knows", parked=True)
    ledger.fail(["evt_1", "evt_3"], "given up")
    ledger.applied(["evt_2"], NOON, "applied")

    ledger.wake("cus_1", NOON)

    assert ledger.due(LATER, 10, fresh=True) == ["sub_1"]
    assert ledger.due(LATER, 10, fresh=False) == []


def test_what_came_last_is_found_first_where_that_is_asked(ledger: StripeStore) -> None:
    for number in range(4):
        at = NOON + timedelta(seconds=number)
        ledger.keep(told(f"{number}", subject=f"sub_{number}", received_at=at))

    assert ledger.due(LATER, 2, fresh=True) == ["sub_0", "sub_1"]
    assert ledger.due(LATER, 2, fresh=True, newest=True) == ["sub_3", "sub_2"]


def test_each_urgency_is_due_on_its_own_and_counted(ledger: StripeStore) -> None:
    for name, urgency in (("1", Urgency.FRESH), ("2", Urgency.FOUND), ("3", Urgency.FRESH)):
        ledger.keep(told(name, subject=f"sub_{name}", urgency=urgency))
    ledger.postpone(["evt_3"], NOON, "nobody knows", parked=True)
    ledger.keep(told("4", subject="sub_4"))
    ledger.fail(["evt_4"], "it cannot be")

    assert ledger.due(NOON, 10, fresh=True) == ["sub_1"]
    assert sorted(ledger.due(NOON, 10, fresh=False)) == ["sub_2", "sub_3"]
    assert ledger.waiting() == Waiting(fresh=1, found=1, parked=1, dead=1)
    assert {e.event_id: e.urgency for e in ledger.unapplied(10)} == {
        "evt_1": Urgency.FRESH,
        "evt_2": Urgency.FOUND,
        "evt_3": Urgency.PARKED,
        "evt_4": Urgency.FRESH,
    }


def test_a_delivery_makes_fresh_what_was_found_or_parked(ledger: StripeStore) -> None:
    for name in ("1", "2"):
        ledger.keep(told(name, subject=f"sub_{name}", urgency=Urgency.FOUND))
    ledger.postpone(["evt_2"], LATER, "nobody knows", parked=True)

    for name in ("1", "2"):
        ledger.keep(told(name, subject=f"sub_{name}"))

    assert sorted(ledger.due(NOON, 10, fresh=True)) == ["sub_1", "sub_2"]


def test_records_that_are_nobodys_are_found_by_their_customer(ledger: StripeStore) -> None:
    for name, user, customer in (
        ("sub_1", None, "cus_1"),
        ("sub_2", UserId("ada"), "cus_1"),
        ("sub_3", None, "cus_2"),
    ):
        ledger.save(record(subject=name, user_id=user, customer_id=customer, owed=()))

    assert ledger.ownerless("cus_1") == ["sub_1"]
    assert ledger.ownerless("cus_9") == []


def test_records_that_owe_payments_are_found_by_their_customer(ledger: StripeStore) -> None:
    for name, owed in (("sub_1", ("in_1",)), ("sub_2", ())):
        ledger.save(record(subject=name, user_id=UserId("ada"), customer_id="cus_1", owed=owed))

    assert ledger.ownerless("cus_1") == ["sub_1"]
    known = ledger.record("sub_1")
    assert known is not None
    ledger.save(replace(known, revision=2, owed=()))
    assert ledger.ownerless("cus_1") == []


def test_a_users_living_subscriptions_are_found(ledger: StripeStore) -> None:
    lives = read_subscription(subscription()).state()
    for name, user, state in (
        ("sub_1", "ada", lives),
        ("sub_2", "ada", replace(lives, status="canceled")),
        ("sub_3", "bob", lives),
        ("cs_1", "ada", None),
    ):
        ledger.save(record(subject=name, user_id=UserId(user), state=state))

    assert [one.subject for one in ledger.living(UserId("ada"))] == ["sub_1"]
    assert ledger.living(UserId("eve")) == []


@pytest.mark.parametrize("database", ["mongomock", "embedded"])
def test_events_of_before_urgencies_were_stored_are_due_behind_the_fresh(
    database: str, request: pytest.FixtureRequest
) -> None:
    setup: MongoSetup = request.getfixturevalue(database)
    ledger = MongoStripe(setup.database)
    for name in ("1", "2"):
        ledger.keep(told(name, subject=f"sub_{name}"))
    ledger.postpone(["evt_2"], NOON, "nobody knows", parked=True)
    setup.database.allotment_stripe_events.update_many({}, {"$unset": {"lane": ""}})

    assert ledger.due(NOON, 10, fresh=True) == []
    assert sorted(ledger.due(NOON, 10, fresh=False)) == ["sub_1", "sub_2"]
    assert [e.parked for e in ledger.pending("sub_2")] == [True]


def test_a_record_reads_back_and_is_replaced_by_its_successor_only(ledger: StripeStore) -> None:
    saved = [ledger.save(record()), ledger.save(record())]
    after = record(revision=2, refunds={"in_1": (0, 3)})
    saved += [ledger.save(after), ledger.save(after), ledger.save(record(revision=4))]

    assert saved == [True, False, True, False, False]
    assert ledger.record("sub_1") == after
    assert repr(ledger.record("sub_1")) == repr(after)  # Keys are held to what commands spell.
    assert ledger.record("sub_2") is None


def test_old_events_that_were_applied_are_removed(ledger: StripeStore) -> None:
    for name in ("1", "2"):
        ledger.keep(told(name))
    ledger.applied(["evt_1"], NOON, "applied")

    assert ledger.trim(NOON) == 0
    assert ledger.trim(LATER) == 1
    assert ledger.known_events(["evt_1", "evt_2"]) == {"evt_2"}


def test_old_dead_letters_are_removed_where_only_their_user_was_missing(
    ledger: StripeStore,
) -> None:
    for name in ("1", "2"):
        ledger.keep(told(name))
    ledger.postpone(["evt_1"], NOON, "nobody knows", parked=True)
    ledger.fail(["evt_1", "evt_2"], "given up")

    assert ledger.trim(LATER) == 1
    assert [one.event_id for one in ledger.unapplied(10)] == ["evt_2"]


def test_a_dead_letter_counts_as_unknown_so_a_comparison_tries_it_again(
    ledger: StripeStore,
) -> None:
    for name in ("1", "2"):
        ledger.keep(told(name))
    ledger.fail(["evt_1"], "it cannot be")

    assert ledger.known_events(["evt_1", "evt_2", "evt_3"]) == {"evt_2"}


def test_the_place_of_a_reconciliation_is_kept_until_its_end(ledger: StripeStore) -> None:
    place = ReconcilePlace("invoices", "in_7", 12, 3, NOON)

    ledger.note_place(place)
    kept = ledger.place()
    ledger.note_place(None)

    assert kept == place
    assert ledger.place() is None


def test_what_lives_and_was_not_listed_is_found_page_by_page(ledger: StripeStore) -> None:
    gone = read_subscription(subscription("sub_5", status="canceled")).state()
    for name in ("sub_1", "sub_2", "sub_3", "sub_4"):
        ledger.save(record(subject=name))
    ledger.save(record(subject="sub_5", state=gone))
    ledger.save(record(subject="cs_1", state=None))
    ledger.note_listed(["sub_2", "sub_unknown"], LATER)
    ledger.note_listed(["sub_3"], NOON)

    assert ledger.unlisted(LATER, "", 2) == ["sub_1", "sub_3"]
    assert ledger.unlisted(LATER, "sub_3", 2) == ["sub_4"]
    assert ledger.unlisted(LATER, "sub_4", 2) == []
    assert ledger.save(record(subject="sub_2", revision=2, stamp=8))
    assert ledger.unlisted(LATER, "sub_1", 1) == ["sub_3"]


@pytest.mark.parametrize("database", ["mongomock", "embedded"])
def test_a_customer_leads_to_the_user_of_its_subscription(
    database: str, request: pytest.FixtureRequest
) -> None:
    setup: MongoSetup = request.getfixturevalue(database)
    stripe = {"customer_id": "cus_9"}
    setup.insert("subscriptions", _id="a" * 24, user_id="b" * 24, stripe=stripe)
    ledger = MongoStripe(setup.database)

    assert ledger.user_of_customer("cus_9") == "b" * 24
    assert ledger.user_of_customer("cus_1") is None
