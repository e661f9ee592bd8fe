"""What every store promises of the journal and of loading, whatever carries it."""

from datetime import timedelta

import pytest

from actors.protocol.store import AppendRefusedError
from domain.documents.recovery import Stored
from domain.messages import CommandRefused
from domain.values import UserId
from tests.builders.authors import NOON, Author, add_credit, use, write
from tests.fakes.setups import Setup

ANN = UserId("ann")
BOB = UserId("bob@example.com")
CAT = UserId("65f0a1b2c3d4e5f601234567")
"""24 hex digits: an ObjectId in MongoDB."""


def load(setup: Setup, *users: UserId) -> list[Stored]:
    return setup.store.load(users, NOON)


# --- the journal --------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", [ANN, BOB, CAT])
def test_entries_of_every_kind_come_back_equal(setup: Setup, user_id: UserId) -> None:
    author = Author(user_id)
    entries = [
        author.do(use(user_id, 5)),
        author.add(2**53 - 1, 7),
        author.use(2**40, record=True, at=NOON - timedelta(days=1, milliseconds=7)),
        author.do(use(user_id, 2**53 - 1)),
    ]
    author.now += timedelta(days=1)
    entries.append(author.open_day())

    setup.store.append(entries)

    assert load(setup, user_id)[0].entries == entries
    keys = [(user_id, entry.key) for entry in entries]
    assert sorted(setup.store.find_entries(keys), key=lambda e: e.seq) == entries


@pytest.mark.parametrize("taken", [0, 1, 2], ids=["first", "middle", "last"])
def test_of_an_append_with_a_taken_number_what_comes_before_it_is_written(
    setup: Setup, taken: int
) -> None:
    others = [Author(f"u-{place}") for place in range(3)]
    setup.store.append([Author(f"u-{taken}").do(add_credit(f"u-{taken}"), "another key")])

    with pytest.raises(AppendRefusedError) as refused:
        setup.store.append(
            [author.do(add_credit(author.account.user_id), "k") for author in others]
        )
    assert refused.value.landed == taken

    stored = load(setup, *(author.account.user_id for author in others))
    keys = [[entry.key for entry in one.entries] for one in stored]
    assert keys == [["k"]] * taken + [["another key"]] + [[]] * (2 - taken)


def test_a_refused_append_leaves_no_gap(setup: Setup) -> None:
    ann, bob = Author(ANN), Author(BOB)
    setup.store.append([Author(BOB).do(add_credit(BOB), "another key")])

    with pytest.raises(AppendRefusedError):
        setup.store.append([ann.add(), bob.add(), ann.use(1), bob.use(1)])

    assert [[e.seq for e in s.entries] for s in load(setup, ANN, BOB)] == [[1], [1]]


def test_an_append_of_one_entry_with_a_taken_number_is_refused(setup: Setup) -> None:
    setup.store.append([Author(ANN).do(add_credit(ANN), "one")])

    with pytest.raises(AppendRefusedError):
        setup.store.append([Author(ANN).do(add_credit(ANN), "two")])

    assert [e.key for e in load(setup, ANN)[0].entries] == ["one"]


def test_a_key_used_before_refuses_what_it_was_used_for_again(setup: Setup) -> None:
    ann, bob, cat = Author(ANN), Author(BOB), Author(CAT)
    setup.store.append([ann.do(add_credit(ANN), "payment")])

    with pytest.raises(AppendRefusedError):
        setup.store.append([bob.add(), ann.do(use(ANN, 1), "payment"), cat.add()])

    assert [len(s.entries) for s in load(setup, ANN, BOB, CAT)] == [1, 1, 0]


def test_two_users_may_use_the_same_key(setup: Setup) -> None:
    setup.store.append([Author(u).do(add_credit(u), "payment") for u in (ANN, BOB, CAT)])

    found = setup.store.find_entries([(ANN, "payment"), (CAT, "payment"), (BOB, "other")])

    assert sorted(e.user_id for e in found) == sorted([ANN, CAT])


def test_a_user_and_key_cannot_be_mistaken_for_another_user_and_key(setup: Setup) -> None:
    setup.store.append([Author(ANN).do(add_credit(ANN), "1 2")])

    setup.store.append([Author(UserId("ann-1")).do(add_credit("ann-1"), "2")])

    assert setup.store.find_entries([(ANN, "1"), (ANN, "2"), (UserId("ann-1"), "1 2")]) == []


def test_a_kept_refusal_comes_back_with_its_reason(setup: Setup) -> None:
    ann = Author(ANN)
    entries = [ann.add(3000, 30), ann.use(2701)]

    setup.store.append(entries)

    refused = load(setup, ANN)[0].entries[1].change
    assert isinstance(refused, CommandRefused)
    assert refused == entries[1].change
    assert refused.refusal.shortfall is not None


def test_a_batch_of_many_entries_lands_at_once(setup: Setup) -> None:
    author = Author(ANN)
    entries = [author.add(), *author.use_often(99)]

    setup.store.append(entries)

    assert load(setup, ANN)[0].entries == entries


# --- loading ------------------------------------------------------------------------------


def test_absent_users_load_as_empty(setup: Setup) -> None:
    assert load(setup, ANN, CAT) == [
        Stored(user_id, 0, [], [], [], [], [], []) for user_id in (ANN, CAT)
    ]


def test_loading_nobody_returns_nothing(setup: Setup) -> None:
    assert load(setup) == []


def test_users_load_in_the_order_asked(setup: Setup) -> None:
    for user_id in (ANN, BOB, CAT):
        write(setup.store, [Author(user_id).add()])

    assert [s.user_id for s in load(setup, CAT, ANN, UserId("nobody"), BOB)] == [
        CAT,
        ANN,
        "nobody",
        BOB,
    ]


@pytest.mark.parametrize("user_id", [ANN, BOB, CAT])
def test_a_user_whose_views_are_complete_loads_without_entries(
    setup: Setup, user_id: UserId
) -> None:
    author = Author(user_id)
    write(setup.store, [author.add(), author.use(30), author.use(4)])

    (stored,) = load(setup, user_id)

    assert stored.applied_seq == 3
    assert stored.entries == []
    assert Author.of(stored).account == author.account


@pytest.mark.parametrize("lag", [0, 1, 2, 17, 18, 300])
def test_a_user_whose_views_lag_loads_with_every_entry_they_lack(setup: Setup, lag: int) -> None:
    author, other = Author(CAT), Author(BOB)
    write(setup.store, [author.add(), author.use(30)])
    behind = author.use_often(lag)
    setup.store.append([other.add(), *behind])

    stored = setup.store.load([CAT, BOB], NOON)

    assert stored[0].applied_seq == 2
    assert stored[0].entries == behind
    assert Author.of(stored[0]).account == author.account
    assert Author.of(stored[1]).account == other.account


def test_a_foreign_user_without_a_journal_loads_by_documents_alone(setup: Setup) -> None:
    setup.insert(
        "subscriptions",
        _id="65f0a1b2c3d4e5f601234500",
        user_id=CAT,
        start_date=NOON - timedelta(days=1),
        end_date=NOON + timedelta(days=9),
        total_credits=1000.0,
        spendable_credits=900.0,
        status="active",
    )
    setup.insert(
        "dailycredits",
        _id="65f0a1b2c3d4e5f601234501",
        subscription_id="65f0a1b2c3d4e5f601234500",
        user_id=CAT,
        date=NOON.replace(hour=0),
        credits_used=5.0,
    )

    (stored,) = load(setup, CAT)

    subscription = Author.of(stored).account.current(NOON)
    assert stored.applied_seq == 0
    assert subscription is not None
    assert (subscription.total, subscription.system_portion) == (1000, 100)
    assert subscription.day is not None
    assert subscription.day.used == 5


def test_days_are_not_loaded_of_subscriptions_that_ended_before_any_recent_use(
    setup: Setup,
) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(100, 1), author.use(30)])

    (running,) = setup.store.load([ANN], NOON)
    (recent,) = setup.store.load([ANN], NOON + timedelta(days=31))
    (ended,) = setup.store.load([ANN], NOON + timedelta(days=40))

    assert (len(running.days), len(recent.days), len(ended.days)) == (1, 1, 0)
    assert len(ended.subscriptions) == 1


# --- what the journal tells of itself -----------------------------------------------------


def test_appended_since_is_half_open(setup: Setup) -> None:
    for number in range(4):
        author = Author(f"u-{number}", NOON + timedelta(milliseconds=number))
        setup.store.append([author.add()])
    cat = Author(CAT, NOON + timedelta(milliseconds=1))
    setup.store.append([cat.add(), cat.use(1)])

    found = setup.store.appended_since(
        NOON + timedelta(milliseconds=1), NOON + timedelta(milliseconds=3)
    )

    assert found == {"u-1", "u-2", CAT}


def test_before_any_clean_mark_there_is_none(setup: Setup) -> None:
    assert setup.store.clean_until() is None


def test_the_clean_mark_is_the_oldest_of_all_shards(setup: Setup) -> None:
    setup.store.mark_clean("shard-000", NOON)
    setup.store.mark_clean("shard-001", NOON + timedelta(seconds=9))

    setup.store.mark_clean("shard-000", NOON + timedelta(milliseconds=5))

    assert setup.store.clean_until() == NOON + timedelta(milliseconds=5)


def test_an_entry_is_found_by_its_key_after_its_views_are_written(setup: Setup) -> None:
    entry = Author(ANN).add()

    write(setup.store, [entry])

    assert setup.store.find_entries([(ANN, entry.key)]) == [entry]
