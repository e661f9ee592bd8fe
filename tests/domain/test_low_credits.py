"""Several thresholds of low credits: which is told, when again, and what a change amid a day does."""

import json
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.comparison import difference
from domain.documents.days import read_told, told_fields
from domain.documents.recovery import recover
from domain.events import EventType
from domain.evolve import replay
from domain.messages import Entry
from domain.subscription import Day
from domain.told import Told
from domain.values import Policy
from tests.builders.ledger import ALL_SPENDABLE, NOON, ONE_DAY, USER, Ledger, charge_of, ledger_with
from tests.builders.lives import POLICIES, STEPS, Step, take
from tests.builders.shard_ledger import shard_ledger
from tests.fakes.database import Database

THREE = (20, 10, 5)
SETS = st.sampled_from([(), (), (20,), (10,), THREE, (50, 20, 3), (99, 1)])


def told(ledger: Ledger, since: int = 0) -> list[int]:
    """Return the percents that were told, in order."""
    return [facts["low_credits_percent"] for facts in facts_told(ledger.entries[since:])]


def facts_told(entries: list[Entry]) -> list[dict[str, Any]]:
    events = [event for entry in entries for event in entry.events]
    return [json.loads(event.data) for event in events if event.type is EventType.LOW_CREDITS]


def day_of(ledger: Ledger) -> Day:
    """Return the newest day of a ledger's one subscription."""
    day = ledger.account.subscriptions[0].day
    assert day is not None, "it was touched"
    return day


def set_percents(ledger: Ledger, *percents: int) -> None:
    """Have a ledger decide by other thresholds from here on; none: by the environment's."""
    ledger.policy = replace(ledger.policy, low_credits_percents=percents)


def ledger_of(*percents: int, days: int = 1) -> Ledger:
    """Return one with 100 credits a day, told of at these thresholds."""
    ledger = ledger_with(100, days)
    set_percents(ledger, *percents)
    return ledger


# --- which is told --------------------------------------------------------------------------


def test_each_threshold_is_told_once_on_the_way_down() -> None:
    ledger = ledger_of(*THREE)

    for _ in range(100):
        ledger.charge(1, NOON)

    assert told(ledger) == [20, 10, 5]
    assert [facts["remaining_credits"] for facts in facts_told(ledger.entries)] == [20, 10, 5]


def test_an_event_names_all_thresholds_that_were_in_force_where_they_are_set_at_run_time() -> None:
    several, environment = ledger_of(*THREE), ledger_of()

    several.charge(85, NOON)
    environment.charge(85, NOON)

    assert facts_told(several.entries)[0]["low_credits_percents"] == [20, 10, 5]
    assert "low_credits_percents" not in facts_told(environment.entries)[0]


@pytest.mark.parametrize(("amount", "percent"), [(85, 20), (92, 10), (95, 5), (100, 5)])
def test_a_charge_that_passes_several_tells_the_lowest_alone(amount: int, percent: int) -> None:
    ledger = ledger_of(*THREE)

    ledger.charge(amount, NOON)
    ledger.charge(0, NOON)

    assert told(ledger) == [percent]


def test_those_above_the_lowest_are_told_where_credits_rise_above_them_and_fall_again() -> None:
    ledger = ledger_of(*THREE)
    ledger.charge(96, NOON)
    before = len(ledger.entries)

    ledger.add(10, 1, NOON)  # 14 of 110 are left: above 10 percent, below 20.
    assert told(ledger, before) == []
    ledger.charge(4, NOON)
    assert told(ledger, before) == [10]
    ledger.add(90, 1, NOON)  # 100 of 200.
    ledger.charge(62, NOON)

    assert told(ledger, before) == [10, 20]


def test_what_a_reversal_lifts_is_told_again_once_it_falls_again() -> None:
    policy = replace(ALL_SPENDABLE, low_credits_percents=THREE)
    ledger = shard_ledger(100, 1, NOON, policy)
    ledger.charge(85, NOON)
    charged = charge_of(ledger.charge(6, NOON))

    ledger.reverse(charged.usage_id, NOON)
    ledger.charge(6, NOON)

    assert told(ledger) == [20, 10, 10]


def test_the_next_day_tells_anew() -> None:
    ledger = ledger_with(100, 2, rollover_cap=0)
    set_percents(ledger, *THREE)
    ledger.charge(91, NOON)

    ledger.charge(81, NOON + ONE_DAY)

    assert told(ledger) == [10, 20]


def test_a_day_that_another_program_lowered_tells_what_it_has_passed_with_the_next_charge() -> None:
    ledger = ledger_of(*THREE)
    ledger.charge(85, NOON)
    database = Database(USER)
    database.apply(ledger.entries)
    (day,) = database.days.values()
    day["credits_used"] = 92

    again = Ledger(ledger.policy, recover(database.stored([]), NOON, ledger.policy).account)
    again.charge(1, NOON)
    again.charge(1, NOON)

    assert told(again) == [10]


@pytest.mark.parametrize("with_day", [False, True], ids=["alone", "beside a day"])
def test_packs_are_told_at_each_threshold(with_day: bool) -> None:
    ledger = ledger_of(*THREE) if with_day else Ledger(ALL_SPENDABLE)
    set_percents(ledger, *THREE)
    given = 1000 if not with_day else 900
    ledger.pack(given, NOON)

    for amount in (800, 50, 60, 88, 2):
        ledger.charge(amount, NOON)

    assert told(ledger) == [20, 10, 5]


def test_of_packs_alone_several_thresholds_at_once_tell_the_lowest() -> None:
    ledger = Ledger(ALL_SPENDABLE)
    set_percents(ledger, *THREE)
    ledger.pack(100, NOON)

    ledger.charge(93, NOON)
    ledger.charge(1, NOON)

    assert told(ledger) == [10]


def test_credits_are_low_from_the_highest_threshold_on() -> None:
    ledger = ledger_of(60, 10)

    seen = []
    for _ in range(3):
        ledger.charge(20, NOON)
        seen.append(ledger.status(NOON).low_credits)

    assert seen == [False, True, True]


# --- a change amid a day --------------------------------------------------------------------


def test_a_day_told_at_the_environments_goes_on_at_lower_ones_and_repeats_none() -> None:
    ledger = ledger_of()
    ledger.charge(82, NOON)

    set_percents(ledger, 30, *THREE)
    ledger.charge(1, NOON)
    assert told(ledger) == [20]
    ledger.charge(8, NOON)

    assert told(ledger) == [20, 10]


def test_a_threshold_that_is_set_too_late_is_told_with_the_next_charge() -> None:
    for first in ((), (20,)):
        ledger = ledger_of(*first)
        ledger.charge(93, NOON)

        set_percents(ledger, *THREE)
        ledger.charge(0, NOON)
        ledger.charge(1, NOON)

        assert told(ledger) == [20, 10]


def test_one_that_is_set_above_what_was_told_is_not_told_that_day() -> None:
    ledger = ledger_of(*THREE)
    ledger.charge(93, NOON)

    set_percents(ledger, 50, 15)
    ledger.charge(1, NOON)

    assert told(ledger) == [10]


def test_back_at_the_environments_a_day_that_was_told_of_a_lower_one_is_not_told_again() -> None:
    ledger = ledger_of(*THREE)
    ledger.charge(93, NOON)

    set_percents(ledger)
    ledger.charge(1, NOON)
    assert told(ledger) == [10]
    ledger.add(100, 1, NOON)
    ledger.charge(90, NOON)

    assert told(ledger) == [10, 20]


def test_back_at_the_environments_a_day_that_was_told_of_a_higher_one_is_told() -> None:
    ledger = ledger_of(50)
    ledger.charge(60, NOON)

    set_percents(ledger)
    ledger.charge(25, NOON)

    assert told(ledger) == [50, 20]


# --- replay, documents and RAM --------------------------------------------------------------


@given(POLICIES, st.lists(st.tuples(STEPS, SETS), max_size=3), st.integers(0, 40))
def test_a_life_under_changing_thresholds_is_read_back_whatever_is_in_force_then(
    policy: Policy, parts: list[tuple[list[Step], tuple[int, ...]]], written: int
) -> None:
    ledger, now = Ledger(policy), NOON
    take(ledger, Step(0, "add", 300, 20), now)
    for steps, percents in parts:
        set_percents(ledger, *percents)
        for step in steps[:8]:
            now += timedelta(hours=min(step.hours, 30))
            take(ledger, step, now)

    database = Database(USER)
    database.apply(ledger.entries[:written])
    lagging = ledger.entries[database.applied_seq :]
    loaded = recover(database.stored(lagging), now, policy).account

    assert difference(ledger.account, loaded, now, policy) is None


def test_events_say_all_that_replay_needs_of_thresholds() -> None:
    ledger = ledger_of(*THREE)
    for amount in (82, 9, 5):
        ledger.charge(amount, NOON)

    again = Ledger(account=replay(Ledger().account, ledger.entries))

    assert day_of(again) == day_of(ledger)
    assert day_of(again).told.percent == 5


def test_one_threshold_of_the_environments_adds_nothing_to_entries_and_documents() -> None:
    ledger = ledger_of()
    ledger.charge(85, NOON)
    database = Database(USER)
    database.apply(ledger.entries)
    (day,) = database.days.values()

    assert day["low_credits_told"] is True
    assert "low_credits_told_percent" not in day
    assert day_of(ledger).told is Told.LOW_CREDITS


def test_a_day_is_as_large_in_ram_whatever_was_told_of_it() -> None:
    days = []
    for percents in ((), THREE, THREE):
        ledger = ledger_of(*percents)
        ledger.charge(93, NOON)
        days.append(day_of(ledger))

    assert [day.told.percent for day in days] == [None, 10, 10]
    assert len({sys.getsizeof(day) for day in days}) == 1
    assert days[1].told is days[2].told  # What is told is one object for all days.


# --- what is known of a day -----------------------------------------------------------------


@pytest.mark.parametrize(
    "what",
    [
        Told.NOTHING,
        Told.LOW_CREDITS,
        Told.SPIKE,
        Told.LOW_CREDITS | Told.SPIKE,
        Told.LOW_CREDITS.at(1),
        Told.LOW_CREDITS.at(99),
        (Told.LOW_CREDITS | Told.SPIKE).at(64),
    ],
    ids=str,
)
def test_what_was_told_comes_back_from_its_fields(what: Told) -> None:
    assert read_told(told_fields(what)) is what


@pytest.mark.parametrize("percent", [0, 100, -5, 7.5, "10", True, None, 2**70, [10]], ids=str)
def test_what_is_no_percent_says_nothing_of_thresholds(percent: object) -> None:
    document = {"low_credits_told": True, "low_credits_told_percent": percent}

    assert read_told(document) is Told.LOW_CREDITS


def test_a_percent_of_a_day_that_was_not_told_says_nothing() -> None:
    assert read_told({"low_credits_told_percent": 10}) is Told.NOTHING


def test_of_what_was_told_one_after_the_other_the_last_percent_counts() -> None:
    low, spike = Told.LOW_CREDITS, Told.SPIKE

    assert low.then(low.at(10)) is low.at(10)
    assert (low | spike).at(20).then(low.at(10)) is (low | spike).at(10)
    assert low.at(10).then(spike) is (low | spike).at(10)
    assert low.at(10).then(low) is low.at(10)
    assert (low | Told.UNREAD).at(10).of_read is low.at(10)
