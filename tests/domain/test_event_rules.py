"""Which events an entry causes, and that no crash and no foreign edit tells one twice."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.charges import UsageRecorded
from domain.comparison import difference
from domain.documents.journal import entry_document, read_entry
from domain.documents.recovery import recover
from domain.events import EventType, event_id
from domain.recalls import NOTHING_BESIDE
from domain.values import Policy, Status, UserId
from tests.builders.ledger import ALL_SPENDABLE, NOON, ONE_DAY, USER, Ledger, ledger_with
from tests.builders.lives import POLICIES, STEPS, STEPS_OF_DAYS, Step, take
from tests.fakes.database import Database
from tests.reference.events import EventReference

LOW, SPIKE = EventType.LOW_CREDITS, EventType.SPIKE
CHANGED, RENEWED, EXPIRED = EventType.CHANGED, EventType.RENEWED, EventType.EXPIRED


def told(ledger: Ledger, since: int = 0) -> list[EventType]:
    return [event.type for entry in ledger.entries[since:] for event in entry.events]


def facts(ledger: Ledger, kind: EventType) -> dict[str, object]:
    """Return the data of the newest event of a kind."""
    found = [e for entry in ledger.entries for e in entry.events if e.type is kind]
    return dict(json.loads(found[-1].data))


# --- low credits --------------------------------------------------------------------------


def test_the_charge_that_reaches_the_line_tells_and_no_charge_after_it() -> None:
    ledger = ledger_with(100, 5)

    for amount in (79, 1, 1, 1):
        ledger.charge(amount, NOON)

    assert [LOW in [e.type for e in entry.events] for entry in ledger.entries] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert facts(ledger, LOW)["remaining_credits"] == 20


def test_21_left_of_100_and_500_charges_of_1_tell_once() -> None:
    ledger = ledger_with(100, 1)
    ledger.charge(79, NOON)

    accepted = [isinstance(ledger.charge(1, NOON), UsageRecorded) for _ in range(500)]

    assert sum(accepted) == 21
    assert told(ledger).count(LOW) == 1


def test_a_top_up_above_the_line_and_a_new_fall_tell_once_more() -> None:
    ledger = ledger_with(100, 1)
    ledger.charge(90, NOON)
    ledger.add(100, 1, NOON)

    ledger.charge(60, NOON)
    assert told(ledger).count(LOW) == 1
    ledger.charge(20, NOON)
    ledger.charge(20, NOON)

    assert told(ledger).count(LOW) == 2


def test_a_top_up_that_leaves_it_low_tells_nothing() -> None:
    ledger = ledger_with(100, 1)
    ledger.charge(100, NOON)

    ledger.add(1, 1, NOON)
    ledger.charge(1, NOON)

    assert told(ledger).count(LOW) == 1


def test_the_next_day_tells_anew_and_a_day_in_debt_tells_with_its_first_entry() -> None:
    ledger = ledger_with(100, 5)
    ledger.record(250, NOON)

    ledger.charge(0, NOON)
    ledger.open_day(NOON + ONE_DAY)
    ledger.record(1, NOON + ONE_DAY)

    assert told(ledger).count(LOW) == 2
    assert facts(ledger, LOW)["remaining_credits"] == -50


def test_a_day_that_another_program_made_low_is_told_with_the_next_charge() -> None:
    ledger = ledger_with(100, 5)
    ledger.charge(1, NOON)
    database = Database(USER)
    database.apply(ledger.entries)
    (day,) = database.days.values()
    day["credits_used"] = 95

    again = Ledger(ALL_SPENDABLE, recover(database.stored([]), NOON, ALL_SPENDABLE).account)
    again.charge(1, NOON)
    again.charge(1, NOON)

    assert told(again) == [LOW]


def test_what_was_told_is_known_after_a_crash_whether_a_view_contains_it_or_not() -> None:
    for written in (2, 3):
        ledger = ledger_with(100, 5)
        ledger.charge(1, NOON)
        ledger.charge(85, NOON)
        database = Database(USER)
        database.apply(ledger.entries[:written])
        loaded = recover(database.stored(ledger.entries[written:]), NOON, ALL_SPENDABLE).account

        again = Ledger(ALL_SPENDABLE, loaded)
        again.charge(1, NOON)

        assert told(ledger)[-1] is LOW
        assert told(again) == []


# --- changed, renewed, expired ------------------------------------------------------------


def test_a_first_subscription_is_a_change_and_no_renewal() -> None:
    ledger = ledger_with(100, 5)

    assert told(ledger) == [CHANGED]
    assert facts(ledger, CHANGED)["created"] is True
    assert facts(ledger, CHANGED)["current"] is True


def test_credits_that_move_the_end_renew_and_credits_within_it_only_change() -> None:
    ledger = ledger_with(100, 5)

    ledger.add(10, 5, NOON)
    ledger.add(10, 6, NOON)

    assert told(ledger, 1) == [CHANGED, CHANGED, RENEWED]
    assert facts(ledger, RENEWED)["previous"] == {
        "end_date": "2026-03-07T00:00:00.000Z",
        "total_credits": 510,
        "spendable_credits": 510,
    }


def test_charges_and_days_change_no_subscription() -> None:
    ledger = ledger_with(100, 5)

    ledger.charge(1, NOON)
    ledger.open_day(NOON + ONE_DAY)

    assert told(ledger, 1) == []


def test_a_subscription_expires_once_and_a_new_one_renews() -> None:
    ledger = ledger_with(100, 5)
    later = NOON + 6 * ONE_DAY

    ledger.expire(later)
    ledger.expire(later)
    ledger.add(100, 5, later)

    assert told(ledger, 1) == [CHANGED, EXPIRED, CHANGED, RENEWED]
    assert facts(ledger, EXPIRED)["previous"] == {"status": "active"}


def test_the_end_of_an_old_subscription_is_not_the_users_current_one() -> None:
    ledger = ledger_with(100, 5)
    later = NOON + 6 * ONE_DAY
    ledger.add(100, 5, later)

    ledger.expire(later, which=0)

    assert told(ledger)[-2:] == [CHANGED, EXPIRED]
    assert facts(ledger, EXPIRED)["current"] is False


def test_an_operators_change_tells_what_it_changes() -> None:
    ledger = ledger_with(100, 5)

    ledger.change(NOON, status=Status.PAUSED)
    ledger.change(NOON, status=Status.PAUSED)
    ledger.change(NOON, end=NOON + 30 * ONE_DAY)
    ledger.change(NOON, end=NOON + 20 * ONE_DAY)
    ledger.change(NOON, status=Status.EXPIRED)

    events = [[event.type for event in entry.events] for entry in ledger.entries[1:]]
    assert events == [[CHANGED], [], [CHANGED, RENEWED], [CHANGED], [CHANGED, EXPIRED]]


# --- spikes -------------------------------------------------------------------------------


def used_on_days(ledger: Ledger, *amounts: int) -> int:
    """Use amounts on consecutive days from NOON on; return how many entries that were."""
    for index, amount in enumerate(amounts):
        if amount:
            ledger.record(amount, NOON + index * ONE_DAY)
    return len(ledger.entries)


def test_three_times_the_mean_of_days_with_use_is_a_spike_once_a_day() -> None:
    ledger = ledger_with(1000, 60)
    before = used_on_days(ledger, 10, 0, 20, 30)
    today = NOON + 4 * ONE_DAY

    ledger.record(59, today)
    assert told(ledger, before) == []
    ledger.record(1, today)
    ledger.record(500, today)

    assert told(ledger, before) == [SPIKE]
    assert facts(ledger, SPIKE)["credits_used"] == 60
    assert facts(ledger, SPIKE)["mean_credits_used"] == 20


def test_two_days_with_use_are_too_few_for_a_spike() -> None:
    ledger = ledger_with(1000, 60)
    used_on_days(ledger, 10, 0, 20, 0, 999)

    assert SPIKE not in told(ledger)


def test_days_more_than_thirty_days_ago_do_not_count() -> None:
    ledger = ledger_with(1000, 60)
    used_on_days(ledger, 10, 10, 10)

    ledger.record(999, NOON + 31 * ONE_DAY)
    assert SPIKE not in told(ledger)
    younger = ledger_with(1000, 60)
    used_on_days(younger, 10, 10, 10)
    younger.record(999, NOON + 30 * ONE_DAY)

    assert SPIKE in told(younger)


def test_use_of_the_subscription_before_counts() -> None:
    ledger = ledger_with(1000, 3)
    used_on_days(ledger, 10, 10, 10)
    later = NOON + 5 * ONE_DAY
    ledger.add(1000, 5, later)

    ledger.record(30, later)

    assert told(ledger)[-1] is SPIKE


def test_the_factor_is_the_policys_and_may_be_a_fraction() -> None:
    ledger = Ledger(Policy(system_portion_bps=0, spike_factor=Decimal("1.5")))
    ledger.add(60_000, 60, NOON)
    before = used_on_days(ledger, 10, 10, 10)

    ledger.record(14, NOON + 3 * ONE_DAY)
    assert told(ledger, before) == []
    ledger.record(1, NOON + 3 * ONE_DAY)

    assert told(ledger, before) == [SPIKE]


# --- all lives ----------------------------------------------------------------------------


VOIDED = [Step(0, "paid by stripe", 25, 3), Step(0, "follow stripe", 1, 1)]


@given(POLICIES, STEPS_OF_DAYS)
@example(ALL_SPENDABLE, VOIDED)
def test_every_life_tells_what_the_reference_says(policy: Policy, steps: list[Step]) -> None:
    ledger, now = Ledger(policy), NOON
    percents = policy.low_credits_percents or (policy.low_credits_percent,)
    reference = EventReference(percents, 3)
    seen = 0
    for step in [Step(0, "add", 300, 20), *steps]:
        now += timedelta(hours=step.hours)
        before = ledger.status(now).remaining_credits
        take(ledger, step, now)
        left = before, ledger.status(now).remaining_credits
        for entry in ledger.entries[seen:]:
            expected = reference.after(entry, ledger.account, *left)
            assert [str(event.type) for event in entry.events] == expected
        seen = len(ledger.entries)
    low = [e for entry in ledger.entries for e in entry.events if e.type is LOW]
    assert [json.loads(e.data)["low_credits_percent"] for e in low] == reference.told_at


@given(POLICIES, STEPS, st.integers(0, 25), st.integers(0, 25))
@example(
    ALL_SPENDABLE, [Step(0, "hold", 8, 0), Step(24, "open", 0, 1), Step(0, "open", 0, 1)], 3, 0
)
def test_a_life_cut_by_a_crash_anywhere_tells_the_same_events(
    policy: Policy, steps: list[Step], crash: int, written: int
) -> None:
    ledger, restarted = Ledger(policy), Ledger(policy)
    now = NOON
    for index, step in enumerate([Step(0, "add", 300, 20), *steps]):
        now += timedelta(hours=step.hours)
        take(ledger, step, now)
        if index == crash:
            database = Database(USER)
            database.apply(restarted.entries[:written])
            lagging = restarted.entries[database.applied_seq :]
            whole = recover(database.stored(lagging), now, policy, NOTHING_BESIDE)
            restarted.account = whole.account
        take(restarted, step, now)

    assert [entry.events for entry in restarted.entries] == [e.events for e in ledger.entries]
    assert difference(restarted.account, ledger.account, now, policy) is None


@given(POLICIES, STEPS)
def test_events_come_back_from_the_journal_as_they_were(policy: Policy, steps: list[Step]) -> None:
    ledger, now = Ledger(policy), NOON
    for step in [Step(0, "add", 300, 20), *steps]:
        now += timedelta(hours=step.hours)
        take(ledger, step, now)

    assert [read_entry(entry_document(entry)) for entry in ledger.entries] == ledger.entries


@pytest.mark.parametrize("user", ["ada", "ünï-cøde", "65f0a1b2c3d4e5f601234567"])
def test_ids_of_events_are_fit_for_headers_and_all_different(user: str) -> None:
    ids = {event_id(UserId(user), seq, place) for seq in range(50) for place in range(4)}

    assert len(ids) == 200
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in ids)
