"""Charges and holds over several sources: which gives what, and what is left of each."""

from datetime import datetime, timedelta

import pytest

from domain.charges import UsageRecorded
from domain.decide import Decision
from domain.events import EventType
from domain.holds import HoldPlaced, HoldSettled, PlaceHold, SettleHold
from domain.messages import Limit, Rejection
from domain.pack_messages import PackExpired
from domain.packs import PACKS_MAX, Category
from domain.recalls import NOTHING_BESIDE
from domain.values import CREDITS_MAX, Credits, Policy, Status
from tests.builders.ledger import NOON, ONE_DAY, ONE_MILLISECOND, USER, charge_of, refusal_of, utc
from tests.builders.shard_ledger import ShardLedger, shard_ledger

LATER = NOON + timedelta(minutes=1)


def sources(decision: Decision, **names: str) -> dict[str, int]:
    """Return what the day and packs gave to a charge, in order; `names`: packs by name."""
    charge = charge_of(decision)
    known = {pack_id: name for name, pack_id in names.items()}
    given = {"day": int(charge.day_amount)} if charge.day_amount else {}
    return given | {known[share.pack_id]: share.credit_amount for share in charge.packs}


def held_of(decision: Decision) -> HoldPlaced:
    assert isinstance(decision, HoldPlaced), decision
    return decision


def left(ledger: ShardLedger, now: datetime) -> tuple[int, int, int]:
    """Return what is left of the day, of packs, and together."""
    status = ledger.status(now)
    return status.day_remaining_credits, status.pack_credits, status.remaining_credits


def told(ledger: ShardLedger, kind: EventType) -> int:
    return sum(event.type is kind for entry in ledger.entries for event in entry.events)


# --- the order ----------------------------------------------------------------------------


def test_a_charge_takes_the_day_first_and_then_the_pack() -> None:
    ledger = shard_ledger(90, 5, NOON)
    pack = ledger.given_pack(1000, NOON)

    charged = ledger.charge(120, NOON)

    assert sources(charged, pack=pack) == {"day": 90, "pack": 30}
    assert left(ledger, NOON) == (0, 970, 970)
    assert ledger.status(NOON).credits_used == 90


def test_a_pack_outlives_the_subscription_and_a_new_one_changes_nothing_about_it() -> None:
    ledger = shard_ledger(90, 5, NOON)
    pack = ledger.given_pack(1000, NOON)
    ledger.charge(120, NOON)
    after_the_end = NOON + 10 * ONE_DAY

    over = left(ledger, after_the_end), ledger.status(after_the_end).status
    ledger.add(50, 5, after_the_end)

    assert over == ((0, 970, 970), Status.EXPIRED)
    assert left(ledger, after_the_end) == (10, 970, 980)
    charged = ledger.charge(980, after_the_end)
    assert sources(charged, pack=pack) == {"day": 10, "pack": 970}
    assert refusal_of(ledger.charge(1, after_the_end)).reason is Rejection.INSUFFICIENT_CREDITS


def test_packs_give_by_priority_then_expiry_then_category_then_age() -> None:
    ledger = ShardLedger()
    told_last_first = {
        "C": ledger.given_pack(3, NOON),
        "B": ledger.given_pack(2, NOON, category=Category.PROMOTIONAL),
        "E": ledger.given_pack(5, LATER),
        "A": ledger.given_pack(1, NOON, expires_at=NOON + 2 * ONE_DAY),
        "D": ledger.given_pack(4, NOON, priority=10),
    }
    ledger.adjust(NOON, by=7)
    adjustment = next(p for p in ledger.account.packs if p.category is Category.ADJUSTMENT)

    charged = ledger.charge(22, LATER)

    taken = sources(charged, **told_last_first, F=adjustment.pack_id)
    assert list(taken) == ["D", "A", "B", "F", "C", "E"]
    assert taken == {"D": 4, "A": 1, "B": 2, "F": 7, "C": 3, "E": 5}


def test_what_is_left_of_a_pack_lapses_at_its_expiry_with_one_event() -> None:
    ledger = shard_ledger(90, 5, NOON)
    expires_at = NOON + 2 * ONE_DAY
    pack = ledger.given_pack(100, NOON, expires_at=expires_at)
    ledger.charge(120, NOON)

    before, at = (left(ledger, at) for at in (expires_at - ONE_MILLISECOND, expires_at))
    early = ledger.expire_pack(pack, expires_at - ONE_MILLISECOND)
    lapsed, again = (ledger.expire_pack(pack, expires_at) for _ in range(2))

    assert (before, at) == ((180, 70, 250), (180, 0, 180))
    assert lapsed == PackExpired(pack, expires_at, Credits(70))
    assert [refusal_of(one).reason for one in (early, again)] == [Rejection.NOT_ENDED] * 2
    assert told(ledger, EventType.PACK_EXPIRED) == 1
    assert ledger.account.packs == ()


def test_a_charge_of_nothing_has_no_source_and_needs_only_something_to_spend() -> None:
    ledger = ShardLedger()
    refused = refusal_of(ledger.charge(0, NOON))
    ledger.given_pack(1, NOON)

    assert sources(ledger.charge(0, NOON)) == {}
    assert refused.reason is Rejection.NO_ACTIVE_SUBSCRIPTION


# --- debt and pause -----------------------------------------------------------------------


def test_debt_stays_with_the_day_and_packs_give_what_it_cannot() -> None:
    ledger = shard_ledger(90, 5, NOON)
    ledger.record(110, NOON)
    pack = ledger.given_pack(100, NOON)

    assert left(ledger, NOON) == (-20, 100, 80)
    assert refusal_of(ledger.charge(81, NOON)).shortfall is not None
    assert sources(ledger.charge(80, NOON), pack=pack) == {"pack": 80}
    assert left(ledger, NOON) == (-20, 20, 0)
    assert left(ledger, NOON + ONE_DAY) == (70, 20, 90)


def test_what_is_recorded_beyond_all_sources_is_debt_of_the_day() -> None:
    ledger = shard_ledger(90, 5, NOON)
    pack = ledger.given_pack(10, NOON)

    recorded = ledger.record(150, NOON)

    assert sources(recorded, pack=pack) == {"day": 140, "pack": 10}
    assert left(ledger, NOON) == (-50, 0, -50)
    assert ledger.status(NOON + ONE_DAY).remaining_credits == 40


def test_without_a_subscription_nothing_can_be_recorded_beyond_the_packs() -> None:
    ledger = ShardLedger()
    pack = ledger.given_pack(10, NOON)

    refused = refusal_of(ledger.record(11, NOON))

    assert refused.shortfall is not None
    assert (refused.reason, refused.shortfall.limit) == (
        Rejection.INSUFFICIENT_CREDITS,
        Limit.CREDITS,
    )
    assert sources(ledger.record(10, NOON), pack=pack) == {"pack": 10}


def test_a_pause_stops_the_day_and_not_the_packs() -> None:
    ledger = shard_ledger(90, 5, NOON)
    pack = ledger.given_pack(10, NOON)
    ledger.change(NOON, status=Status.PAUSED)

    refused = refusal_of(ledger.charge(11, NOON))

    assert refused.shortfall is not None
    assert (refused.shortfall.limit, refused.shortfall.available_at) == (Limit.CREDITS, None)
    assert sources(ledger.charge(10, NOON), pack=pack) == {"pack": 10}
    assert refusal_of(ledger.charge(1, NOON)).reason is Rejection.NO_ACTIVE_SUBSCRIPTION


def test_a_capped_charge_takes_what_is_there_and_says_what_is_not() -> None:
    ledger = shard_ledger(90, 5, NOON)
    pack = ledger.given_pack(10, NOON)

    charged = ledger.cap(150, NOON)

    assert isinstance(charged, UsageRecorded)
    assert sources(charged, pack=pack) == {"day": 90, "pack": 10}
    assert charged.uncovered_credits == 50
    assert ledger.status(NOON).remaining_credits == 0


# --- refusals -----------------------------------------------------------------------------


def test_nothing_at_all_is_refused_as_no_active_subscription() -> None:
    ledger = ShardLedger()
    pack = ledger.given_pack(10, NOON, expires_at=LATER)

    assert sources(ledger.charge(3, NOON), pack=pack) == {"pack": 3}
    assert refusal_of(ledger.charge(1, LATER)).reason is Rejection.NO_ACTIVE_SUBSCRIPTION


def test_a_shortfall_counts_packs_that_expire_and_holds_that_are_freed_before_a_day_covers() -> (
    None
):
    ledger = shard_ledger(10, 10, NOON)
    ledger.given_pack(100, NOON, expires_at=NOON + ONE_DAY)  # Gone at the second midnight.
    never = ledger.given_pack(30, NOON)
    held = ledger.do(PlaceHold(USER, "chat", Credits(110), 86_400), NOON)
    assert isinstance(held, HoldPlaced)

    waits_for_pack, waits_for_day = (
        refusal_of(ledger.charge(amount, NOON)).shortfall for amount in (40, 61)
    )

    # Day 10, pack 100 are held until noon tomorrow: then the one is back, and the other gone.
    assert waits_for_pack is not None
    assert waits_for_day is not None
    assert (waits_for_pack.limit, waits_for_pack.remaining_credits) == (Limit.DAILY, 30)
    assert waits_for_pack.available_at == utc("2026-03-03")
    assert waits_for_day.available_at == utc("2026-03-05")  # 10 a day for four days, and 30.
    assert ledger.account.find_pack(never) is not None


def test_so_many_packs_may_be_there_with_something_in_them() -> None:
    ledger = ShardLedger()
    ledger.fill_packs(PACKS_MAX - 1, NOON)

    ledger.given_pack(1, NOON)
    assert refusal_of(ledger.pack(1, NOON)).reason is Rejection.AMOUNT_TOO_LARGE
    assert refusal_of(ledger.adjust(NOON, by=1)).reason is Rejection.AMOUNT_TOO_LARGE
    ledger.charge(1, NOON)
    ledger.given_pack(1, NOON)


def test_packs_hold_no_more_than_the_largest_amount_and_those_used_up_hold_nothing() -> None:
    ledger = ShardLedger()
    ledger.given_pack(CREDITS_MAX - 1, NOON)

    assert refusal_of(ledger.pack(2, NOON)).reason is Rejection.AMOUNT_TOO_LARGE
    ledger.charge(CREDITS_MAX - 1, NOON)
    ledger.given_pack(CREDITS_MAX, NOON)


# --- holds --------------------------------------------------------------------------------


def test_a_hold_is_over_several_sources_and_settles_at_what_is_there() -> None:
    ledger = shard_ledger(40, 1, NOON)
    pack = ledger.given_pack(60, NOON)
    hold = held_of(ledger.hold(50, NOON))

    assert hold.of_day is not None
    assert hold.of_day.credit_amount == 40
    assert [(s.pack_id, s.credit_amount) for s in hold.packs] == [(pack, 10)]
    assert left(ledger, NOON) == (0, 50, 50)

    settled = ledger.do(SettleHold(USER, hold.hold.hold_id, Credits(200)), LATER)

    assert isinstance(settled, HoldSettled)
    assert sources(settled, pack=pack) == {"day": 40, "pack": 60}
    assert settled.usage.uncovered_credits == 100
    assert left(ledger, LATER) == (0, 0, 0)


@pytest.mark.parametrize(
    ("settled_at", "taken", "back"),
    [
        (0, {}, (40, 60, 100)),
        (30, {"day": 30}, (10, 60, 70)),
        (40, {"day": 40}, (0, 60, 60)),
        (45, {"day": 40, "pack": 5}, (0, 55, 55)),
        (50, {"day": 40, "pack": 10}, (0, 50, 50)),
        (70, {"day": 40, "pack": 30}, (0, 30, 30)),
    ],
)
def test_settling_keeps_what_was_taken_first(
    settled_at: int, taken: dict[str, int], back: tuple[int, int, int]
) -> None:
    ledger = shard_ledger(40, 1, NOON)
    pack = ledger.given_pack(60, NOON)
    hold_id = ledger.held(50, NOON)

    settled = ledger.settle(hold_id, settled_at, LATER)

    assert sources(settled, pack=pack) == taken
    assert left(ledger, LATER) == back


def test_what_a_hold_has_of_an_expired_pack_stays_chargeable_and_lapses_when_freed() -> None:
    ledger = shard_ledger(40, 5, NOON)
    expires_at = NOON + timedelta(minutes=2)
    pack = ledger.given_pack(60, NOON, expires_at=expires_at)
    first, second = ledger.held(50, NOON), ledger.held(20, NOON)

    lapsed = ledger.expire_pack(pack, expires_at)
    settled = ledger.settle(first, 50, expires_at)
    ledger.release(second, expires_at)

    assert isinstance(lapsed, PackExpired)
    assert lapsed.lapsed_credits == 30
    assert sources(settled, pack=pack) == {"day": 40, "pack": 10}
    assert left(ledger, expires_at) == (0, 0, 0)


def test_a_hold_takes_at_least_what_it_is_told_and_as_much_as_there_is() -> None:
    ledger = shard_ledger(40, 1, NOON)
    ledger.given_pack(60, NOON)

    def ask(amount: int, least: int) -> Decision:
        return ledger.do(PlaceHold(USER, "chat", Credits(amount), at_least=Credits(least)), NOON)

    too_much = refusal_of(ask(150, 101))
    assert too_much.shortfall is not None
    assert too_much.shortfall.required_credits == 101
    assert held_of(ask(70, 20)).hold.credit_amount == 70
    assert held_of(ask(150, 30)).hold.credit_amount == 30
    assert refusal_of(ask(150, 1)).reason is Rejection.INSUFFICIENT_CREDITS
    assert held_of(ask(150, 0)).hold.credit_amount == 0


def test_all_there_is_can_be_asked_for_by_the_largest_amount() -> None:
    ledger = shard_ledger(40, 1, NOON)
    pack = ledger.given_pack(60, NOON)
    ledger.charge(1, NOON)
    hold_id = ledger.held(0, NOON)
    most = Credits(CREDITS_MAX)

    held = held_of(ledger.do(PlaceHold(USER, "chat", most, at_least=Credits(1)), NOON))
    ledger.release(held.hold.hold_id, NOON)
    settled = ledger.do(SettleHold(USER, hold_id, Credits(50)), NOON)
    capped = ledger.cap(most, NOON)

    assert held.hold.credit_amount == 99
    assert sources(settled, pack=pack) == {"day": 39, "pack": 11}
    assert sources(capped, pack=pack) == {"pack": 49}
    assert charge_of(capped).uncovered_credits == most - 49


def test_a_hold_of_nothing_without_a_subscription_can_be_settled() -> None:
    ledger = ShardLedger()
    pack = ledger.given_pack(60, NOON)
    hold_id = ledger.held(0, NOON)
    ledger.write()

    settled = ledger.settle(hold_id, 10, LATER)

    assert sources(settled, pack=pack) == {"pack": 10}
    assert not ledger.account.holds()


def test_the_share_of_the_day_ends_with_the_subscription_and_that_of_packs_does_not() -> None:
    ledger = shard_ledger(40, 1, NOON)
    pack = ledger.given_pack(60, NOON)
    hold_id = ledger.held(50, NOON, seconds=86_400)
    after_the_end = utc("2026-03-03")

    ledger.expire_hold(hold_id, after_the_end)
    settled = ledger.do(SettleHold(USER, hold_id, Credits(25)), after_the_end)

    assert sources(settled, pack=pack) == {"pack": 25}
    assert left(ledger, after_the_end) == (0, 35, 35)


# --- late ---------------------------------------------------------------------------------


@pytest.mark.parametrize("written_down", [True, False])
def test_an_expired_hold_is_settled_late_once_and_not_for_ever(written_down: bool) -> None:
    ledger = shard_ledger(40, 5, NOON, Policy(system_portion_bps=0, late_settle_seconds=3600))
    pack = ledger.given_pack(60, NOON)
    first, second = ledger.held(50, NOON), ledger.held(10, NOON)
    over = NOON + timedelta(seconds=300)
    if written_down:
        for hold_id in (first, second):
            ledger.expire_hold(hold_id, over)
    ledger.write()

    late = ledger.do(SettleHold(USER, first, Credits(95)), over + timedelta(seconds=3599))
    again = ledger.do(SettleHold(USER, first, Credits(1)), over + timedelta(seconds=3599))
    too_late = ledger.do(SettleHold(USER, second, Credits(1)), over + timedelta(seconds=3600))

    assert isinstance(late, UsageRecorded)
    assert sources(late, pack=pack) == {"day": 40, "pack": 55}
    assert late.settles == first
    reasons = [refusal_of(one).reason for one in (again, too_late)]
    assert reasons == [Rejection.HOLD_CLOSED] * 2


@pytest.mark.parametrize("at", [utc("2026-03-03"), utc("2026-03-03T18:00")])
def test_a_hold_that_ended_with_its_subscription_is_closed_whenever_that_is_written(
    at: datetime,
) -> None:
    ledger = shard_ledger(40, 1, NOON)
    ledger.given_pack(60, NOON)
    hold_id = ledger.held(30, NOON, seconds=86_400)
    ledger.expire_hold(hold_id, at)
    ledger.write()

    late = ledger.do(SettleHold(USER, hold_id, Credits(1)), utc("2026-03-03T18:00"))

    assert refusal_of(late).reason is Rejection.HOLD_CLOSED


def test_what_was_released_or_settled_is_never_settled_late() -> None:
    ledger = shard_ledger(40, 5, NOON)
    released, settled = ledger.held(5, NOON), ledger.held(5, NOON)
    ledger.release(released, NOON)
    ledger.settle(settled, 5, NOON)
    over = NOON + timedelta(seconds=301)

    again = [ledger.settle(hold_id, 5, over) for hold_id in (released, settled)]

    assert [refusal_of(one).reason for one in again] == [Rejection.HOLD_CLOSED] * 2


# --- what RAM keeps -----------------------------------------------------------------------


def test_low_credits_do_not_depend_on_whether_ram_knows_a_pack_that_is_used_up() -> None:
    ledger = shard_ledger(90, 5, NOON)
    ledger.given_pack(1000, NOON)
    ledger.charge(1090, NOON)
    tomorrow = NOON + ONE_DAY

    assert not ledger.status(tomorrow).low_credits
    ledger.write()
    assert not ledger.account.packs
    loaded = ledger.load(tomorrow)
    assert loaded.account == ledger.account


def test_a_pack_used_up_at_once_is_told_of_as_low_and_depleted() -> None:
    ledger = ShardLedger()
    ledger.given_pack(10, NOON)

    ledger.charge(10, NOON)

    assert told(ledger, EventType.LOW_CREDITS) == told(ledger, EventType.DEPLETED) == 1


@pytest.mark.parametrize("whole", [False, True])
def test_a_pack_that_has_lapsed_stays_so_where_the_clock_goes_back(whole: bool) -> None:
    ledger, expires_at = shard_ledger(0, 1, NOON), NOON + 2 * ONE_DAY
    pack = ledger.given_pack(100, NOON, expires_at=expires_at)
    ledger.expire_pack(pack, expires_at)
    back = expires_at - ONE_MILLISECOND

    ledger.account = ledger.load(back, NOTHING_BESIDE if whole else None).account

    assert left(ledger, back) == (0, 0, 0)
    assert refusal_of(ledger.charge(1, back)).reason is Rejection.NO_ACTIVE_SUBSCRIPTION
