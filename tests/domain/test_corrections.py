"""Charges that are reversed, and balances that operators adjust, by worked figures."""

from datetime import date, datetime, timedelta

import pytest

from actors.protocol.calls import Call
from actors.shard.draft import Draft
from domain.charges import UsageRecorded
from domain.comparison import essence
from domain.corrections import CreditsAdjusted, ReverseUsage, UsageReversed
from domain.decide import Decision
from domain.events import EventType
from domain.holds import HoldSettled
from domain.messages import Limit, Rejection
from domain.packs import Category
from domain.recalls import Recalls
from domain.values import Credits, Policy, Status
from tests.builders.ledger import ALL_SPENDABLE, NOON, ONE_DAY, USER, charge_of, refusal_of, utc
from tests.builders.shard_ledger import ShardLedger, shard_ledger

LATER = NOON + timedelta(minutes=1)


def usage_of(decision: Decision) -> str:
    return charge_of(decision).usage_id


def reversed_by(decision: Decision) -> UsageReversed:
    assert isinstance(decision, UsageReversed), decision
    return decision


def back_and_lapsed(decision: Decision) -> tuple[int, int]:
    change = reversed_by(decision)
    return change.returned_credits, change.lapsed_credits


def adjusted_by(decision: Decision) -> CreditsAdjusted:
    assert isinstance(decision, CreditsAdjusted), decision
    return decision


def left(ledger: ShardLedger, now: datetime) -> tuple[int, int, int]:
    status = ledger.status(now)
    return status.day_remaining_credits, status.pack_credits, status.remaining_credits


# --- reversals ----------------------------------------------------------------------------


@pytest.mark.parametrize("written", [True, False])
def test_a_charge_goes_back_in_parts_to_what_was_taken_last(written: bool) -> None:
    ledger = shard_ledger(90, 5, NOON)
    ledger.given_pack(100, NOON)
    usage = usage_of(ledger.charge(100, NOON))
    if written:
        ledger.write()

    first = ledger.reverse(usage, LATER, 30)
    after_first = left(ledger, LATER)
    too_much = refusal_of(ledger.reverse(usage, LATER, 71))
    rest = ledger.reverse(usage, LATER)
    nothing = refusal_of(ledger.reverse(usage, LATER))

    assert [(s.credit_amount) for s in reversed_by(first).packs] == [10]
    assert (reversed_by(first).day_amount, after_first) == (20, (20, 100, 120))
    assert too_much.reason is Rejection.MORE_THAN_CHARGED
    assert (back_and_lapsed(rest), reversed_by(rest).reversed_credits) == ((70, 0), 100)
    assert left(ledger, LATER) == (90, 100, 190)
    assert nothing.reason is Rejection.ALREADY_REVERSED


def test_of_two_reversals_at_once_one_gives_all_back_and_the_other_nothing() -> None:
    ledger = shard_ledger(90, 5, NOON)
    ledger.given_pack(100, NOON)
    usage = usage_of(ledger.charge(100, NOON))
    account = ledger.load(LATER, Recalls(usages=frozenset({usage}))).account
    draft = Draft({USER: account}, {}, LATER, ALL_SPENDABLE)

    replies = [
        draft.decide(Call(ReverseUsage(USER, usage, None, "it failed"), key, keep_refusal=True))
        for key in ("one", "two")
    ]

    changes = [entry.change for entry in draft.entries]
    assert isinstance(changes[0], UsageReversed)
    assert changes[0].returned_credits == 100
    assert replies[0].refusal is None
    assert refusal_of(replies[1].refusal).reason is Rejection.ALREADY_REVERSED


@pytest.mark.parametrize(
    ("cap", "charged", "back", "today"),
    [
        (None, 60, (60, 0), 190),  # All of it rolls over.
        (0, 60, (0, 60), 100),  # Nothing does.
        (50, 60, (10, 50), 150),  # 40 have rolled over, and 10 more may.
        (50, 100, (50, 50), 150),
    ],
)
def test_what_a_past_day_gets_back_rolls_over_by_the_rule(
    cap: int | None, charged: int, back: tuple[int, int], today: int
) -> None:
    limit = None if cap is None else Credits(cap)
    ledger = shard_ledger(100, 5, NOON, Policy(system_portion_bps=0, rollover_cap=limit))
    usage = usage_of(ledger.charge(charged, NOON))
    tomorrow = NOON + ONE_DAY
    ledger.charge(10, tomorrow)
    ledger.write()

    reversal = ledger.reverse(usage, tomorrow)

    assert back_and_lapsed(reversal) == back
    assert ledger.status(tomorrow).remaining_credits == (190 if cap is None else today - 10)
    ledger.write()
    assert essence(ledger.load(tomorrow).account, tomorrow, ledger.policy) == essence(
        ledger.account, tomorrow, ledger.policy
    )


@pytest.mark.parametrize("applied", range(4))
def test_a_charge_of_yesterday_that_no_view_contains_goes_back_all_the_same(applied: int) -> None:
    ledger = shard_ledger(100, 5, NOON)
    usage = usage_of(ledger.charge(60, NOON))
    tomorrow = NOON + ONE_DAY
    ledger.charge(140, tomorrow)
    ledger.write(applied)

    assert back_and_lapsed(ledger.reverse(usage, tomorrow)) == (60, 0)
    assert left(ledger, tomorrow) == (60, 0, 60)


def test_a_reversal_reaches_today_across_days_without_traffic_and_a_debt() -> None:
    ledger = shard_ledger(10, 9, NOON)
    usage = usage_of(ledger.record(30, NOON))
    ledger.open_day(NOON + ONE_DAY)
    later = NOON + 3 * ONE_DAY

    assert left(ledger, later) == (10, 0, 10)
    assert back_and_lapsed(ledger.reverse(usage, later)) == (30, 0)
    assert left(ledger, later) == (40, 0, 40)


def test_where_the_subscription_has_ended_the_days_part_lapses_and_the_packs_does_not() -> None:
    ledger = shard_ledger(90, 1, NOON)
    ledger.given_pack(100, NOON)
    usage = usage_of(ledger.charge(100, NOON))
    ledger.add(10, 1, NOON + 3 * ONE_DAY)
    ledger.write()

    assert back_and_lapsed(ledger.reverse(usage, NOON + 3 * ONE_DAY)) == (10, 90)
    assert left(ledger, NOON + 3 * ONE_DAY) == (10, 100, 110)
    day = ledger.database.days[ledger.entries[0].change.opening.subscription_id, utc("2026-03-02")]  # type: ignore[union-attr]
    ledger.write()
    assert day["credits_used"] == 0


def test_where_the_pack_has_expired_its_part_lapses() -> None:
    ledger = shard_ledger(90, 5, NOON)
    pack = ledger.given_pack(100, NOON, expires_at=LATER)
    usage = usage_of(ledger.charge(100, NOON))
    ledger.expire_pack(pack, LATER)
    ledger.write()

    assert back_and_lapsed(ledger.reverse(usage, LATER)) == (90, 10)
    assert left(ledger, LATER) == (90, 0, 90)
    assert not ledger.account.packs


def test_a_settled_hold_is_reversed_as_any_charge() -> None:
    ledger = shard_ledger(40, 5, NOON)
    ledger.given_pack(60, NOON)
    hold_id = ledger.held(50, NOON, seconds=86_400)
    tomorrow = utc("2026-03-03T06:00")
    settled = ledger.settle(hold_id, 50, tomorrow)
    assert isinstance(settled, HoldSettled)

    assert back_and_lapsed(ledger.reverse(usage_of(settled), tomorrow, 15)) == (15, 0)
    assert left(ledger, tomorrow) == (45, 60, 105)


def test_a_charge_of_nothing_has_nothing_to_reverse() -> None:
    ledger = shard_ledger(40, 5, NOON)
    usage = usage_of(ledger.charge(0, NOON))

    assert refusal_of(ledger.reverse(usage, NOON)).reason is Rejection.ALREADY_REVERSED


def test_no_more_goes_back_than_its_source_counts_as_used() -> None:
    ledger = shard_ledger(90, 5, NOON)
    ledger.given_pack(100, NOON)
    usage = usage_of(ledger.charge(100, NOON))
    ledger.write()
    for day in ledger.database.days.values():
        day["credits_used"] = 50

    assert back_and_lapsed(ledger.reverse(usage, NOON)) == (60, 40)


@pytest.mark.parametrize("value", [-1, "5", 2.5])
def test_an_unreadable_record_is_set_aside_and_reverses_nothing(value: object) -> None:
    ledger = shard_ledger(90, 5, NOON)
    usage = usage_of(ledger.charge(50, NOON))
    ledger.write()
    ledger.database.records[usage]["credit_amount"] = value

    loaded = ledger.load(NOON, Recalls(usages=frozenset({usage})))

    assert [one.document_id for one in loaded.quarantined] == [usage]
    assert refusal_of(ledger.reverse(usage, NOON)).reason is Rejection.NO_SUCH_USAGE
    assert left(ledger, NOON) == (40, 0, 40)


def test_reversals_tell_one_event_each() -> None:
    ledger = shard_ledger(90, 5, NOON)
    usage = usage_of(ledger.charge(50, NOON))

    ledger.reverse(usage, NOON, 20)
    ledger.reverse(usage, NOON)

    kinds = [event.type for entry in ledger.entries for event in entry.events]
    assert kinds.count(EventType.REVERSED) == 2


# --- adjustments --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "amount", "of_day", "of_packs"),
    [
        (500, 310, 0, []),
        (190, 0, 0, []),
        (150, -40, 40, []),
        (60, -130, 90, [40]),
        (0, -190, 90, [100]),
    ],
)
def test_what_is_left_is_set_to_a_number(
    target: int, amount: int, of_day: int, of_packs: list[int]
) -> None:
    ledger = shard_ledger(90, 5, NOON)
    ledger.given_pack(100, NOON)

    change = adjusted_by(ledger.adjust(NOON, to=target))

    assert (change.credit_amount, change.day_amount) == (amount, of_day)
    assert [share.credit_amount for share in change.packs] == of_packs
    assert ledger.status(NOON).remaining_credits == target
    assert ledger.status(NOON).credits_used == 0
    assert (change.added is not None) is (amount > 0)
    ledger.write()
    assert ledger.load(NOON).account == ledger.account


def test_what_is_given_is_a_pack_of_its_own_category_that_may_expire() -> None:
    ledger = ShardLedger()
    expires_at = NOON + ONE_DAY

    change = adjusted_by(ledger.adjust(NOON, by=25, expires_at=expires_at))

    assert change.added is not None
    assert (change.added.category, change.added.spendable) == (Category.ADJUSTMENT, 25)
    assert left(ledger, NOON) == (0, 25, 25)
    assert left(ledger, expires_at) == (0, 0, 0)
    too_late = refusal_of(ledger.adjust(NOON, by=25, expires_at=NOON))
    assert too_late.reason is Rejection.EXPIRY_NOT_IN_FUTURE


def test_what_is_taken_is_covered_unless_debt_is_allowed() -> None:
    ledger = shard_ledger(90, 5, NOON)
    ledger.given_pack(100, NOON)

    refused = refusal_of(ledger.adjust(NOON, by=-191))
    taken = adjusted_by(ledger.adjust(NOON, by=-200, allow_debt=True))

    assert refused.reason is Rejection.INSUFFICIENT_CREDITS
    assert (taken.day_amount, [s.credit_amount for s in taken.packs]) == (100, [100])
    assert left(ledger, NOON) == (-10, 0, -10)
    assert left(ledger, NOON + ONE_DAY) == (80, 0, 80)


def test_a_pause_is_no_hindrance_and_debt_is_made_up_for() -> None:
    ledger = shard_ledger(90, 5, NOON)
    ledger.record(110, NOON)
    ledger.given_pack(100, NOON)
    ledger.change(NOON, status=Status.PAUSED)

    assert ledger.status(NOON).remaining_credits == 80
    assert adjusted_by(ledger.adjust(NOON, to=50)).credit_amount == -30
    assert left(ledger, NOON) == (-20, 70, 50)
    assert adjusted_by(ledger.adjust(NOON, to=90)).credit_amount == 40
    assert left(ledger, NOON) == (-20, 110, 90)


def test_without_anything_to_take_from_nothing_is_taken() -> None:
    ledger = ShardLedger()

    refused = [refusal_of(ledger.adjust(NOON, by=-5, allow_debt=debt)) for debt in (True, False)]

    assert [one.reason for one in refused] == [Rejection.NO_ACTIVE_SUBSCRIPTION] * 2
    assert all(one.shortfall and one.shortfall.limit is Limit.SUBSCRIPTION for one in refused)


def test_what_was_taken_from_a_day_stays_taken_when_a_hold_is_freed_or_a_charge_reversed() -> None:
    ledger = shard_ledger(100, 5, NOON)
    usage = usage_of(ledger.charge(20, NOON))
    hold_id = ledger.held(30, NOON, seconds=86_400)
    ledger.adjust(NOON, by=-50)
    tomorrow = utc("2026-03-03T06:00")
    ledger.adjust(tomorrow, by=-60)
    ledger.write()

    ledger.release(hold_id, tomorrow)
    after_release = left(ledger, tomorrow)
    ledger.reverse(usage, tomorrow)

    assert after_release == (70, 0, 70)
    assert left(ledger, tomorrow) == (90, 0, 90)
    for upto in (None, len(ledger.entries)):
        ledger.write(upto)
        loaded = ledger.load(tomorrow).account
        assert essence(loaded, tomorrow, ledger.policy) == essence(
            ledger.account, tomorrow, ledger.policy
        )
    second = [d for d in ledger.database.days.values() if d["date"] == utc("2026-03-03")]
    assert [(d["credits_rolled_over"], d["credits_adjusted"]) for d in second] == [(-10, 60)]


def test_ram_lets_go_what_a_correction_recalled() -> None:
    ledger = shard_ledger(100, 5, NOON)
    usage = usage_of(ledger.charge(20, NOON))
    tomorrow = NOON + ONE_DAY
    ledger.charge(20, tomorrow)

    ledger.reverse(usage, tomorrow)

    assert ledger.account.extra is None
    (subscription,) = ledger.account.subscriptions
    assert (subscription.earlier, subscription.seldom) == ((), None)
    assert subscription.day is not None
    assert (subscription.day.date, subscription.day.rolled_over) == (date(2026, 3, 3), 100)


def test_a_charge_of_another_user_is_unknown() -> None:
    ledger = shard_ledger(100, 5, NOON)
    made = ledger.charge(20, NOON)
    assert isinstance(made, UsageRecorded)

    assert refusal_of(ledger.reverse("another", NOON)).reason is Rejection.NO_SUCH_USAGE
