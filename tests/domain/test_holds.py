"""Credits that are set aside: the worked cases of the field, midnight, expiry, and who wins."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest

from domain.api.hold_answers import HoldResponse
from domain.charges import UsageRecorded
from domain.comparison import difference
from domain.decide import decide
from domain.documents.holds import hold_document
from domain.documents.recovery import recover
from domain.holds import (
    HOLD_ID_LENGTH_MAX,
    HoldFreed,
    HoldPlaced,
    HoldSettled,
    PlaceHold,
    holder_of,
    is_hold_for,
    make_hold_id,
    rename_hold_id,
)
from domain.local_days import day_of, midnight
from domain.messages import Rejection, Shortfall
from domain.values import Credits, Policy, Status, UserId
from tests.builders.ledger import (
    NOON,
    ONE_DAY,
    ONE_MILLISECOND,
    USER,
    Ledger,
    ledger_with,
    opening_of,
    refusal_of,
    utc,
)
from tests.fakes.database import Database

ONE_MINUTE = timedelta(minutes=1)
LATE = utc("2026-03-02T23:59")  # A minute before midnight of the first day.
NEXT = utc("2026-03-03T00:01")


def left(ledger: Ledger, now: datetime) -> int:
    return ledger.status(now).remaining_credits


# --- the worked cases ---------------------------------------------------------------------


def test_case_8_what_a_settled_hold_did_not_need_is_free_again() -> None:
    ledger = ledger_with(15, 1)

    hold_id = ledger.held(8, NOON)
    held = ledger.status(NOON)
    settled = ledger.settle(hold_id, 4, NOON)

    assert (held.credits_held, held.remaining_credits) == (8, 7)
    assert isinstance(settled, HoldSettled)
    after = ledger.status(NOON)
    assert (after.credits_used, after.credits_held, after.remaining_credits) == (4, 0, 11)


def test_of_two_holds_the_one_that_expires_first_is_over_first_whichever_was_made_first() -> None:
    ledger = ledger_with(15, 1)

    ledger.held(8, NOON, seconds=300)
    ledger.held(4, NOON, seconds=60)

    assert [left(ledger, NOON + n * ONE_MINUTE) for n in (0, 1, 5)] == [3, 7, 15]


def test_holds_that_documents_have_in_another_order_are_over_in_that_of_their_expiry() -> None:
    ledger = ledger_with(15, 1)
    ledger.held(8, NOON, seconds=300)
    ledger.held(4, NOON, seconds=60)
    (subscription,) = ledger.account.subscriptions
    day, holds = subscription.touched[0], subscription.holds

    for stored in (holds, holds[::-1]):
        read = subscription.with_usage_days([(day.date, day.used)], day.date, None, holds=stored)
        assert read.as_of(NOON + ONE_MINUTE, None).held_on(day.date) == 8


def test_the_answer_to_a_hold_is_written_as_its_model_would_write_it() -> None:
    ledger = ledger_with(15, 1)
    ledger.held(8, NOON)

    text = ledger.entries[-1].answer

    assert text is not None
    assert HoldResponse.model_validate_json(text).model_dump_json() == text


def test_case_8_of_two_settlements_one_wins_and_the_other_is_told() -> None:
    ledger = ledger_with(15, 1)
    hold_id = ledger.held(8, NOON)

    decisions = [ledger.settle(hold_id, 4, NOON) for _ in range(2)]

    assert isinstance(decisions[0], HoldSettled)
    assert refusal_of(decisions[1]).reason is Rejection.HOLD_CLOSED
    assert left(ledger, NOON) == 11


@pytest.mark.parametrize("seed", range(1000))
def test_case_8_of_a_settlement_and_an_expiry_at_one_instant_one_wins(seed: int) -> None:
    random = Random(seed)
    ledger = ledger_with(15, 3, rollover_cap=random.choice([None, 0, 5]))
    seconds = random.randint(1, 86_400)
    hold_id = ledger.held(8, NOON, seconds=seconds)
    at = NOON + timedelta(seconds=seconds) + random.choice([-1, 0, 0, 1]) * ONE_MILLISECOND
    tell: list[Callable[[], object]] = [
        lambda: ledger.settle(hold_id, 4, at),
        lambda: ledger.expire_hold(hold_id, at),
    ]
    random.shuffle(tell)

    decisions = [ask() for ask in tell]

    won = [type(decision) for decision in decisions if type(decision) in (HoldSettled, HoldFreed)]
    assert len(won) == 1
    assert (won == [HoldSettled]) == (at < NOON + timedelta(seconds=seconds))
    assert ledger.account.holds() == []
    assert sum(row.used for row in ledger.account.subscriptions[0].touched) in (0, 4)


def test_case_9_a_hold_that_is_not_covered_moves_nothing() -> None:
    ledger = ledger_with(5, 1)
    hold_id = ledger.held(4, NOON)

    refusal = refusal_of(ledger.hold(2, NOON))
    before = ledger.status(NOON)
    ledger.settle(hold_id, 1, NOON)

    assert refusal.reason is Rejection.INSUFFICIENT_CREDITS
    assert (before.credits_held, before.remaining_credits) == (4, 1)
    assert left(ledger, NOON) == 4


def test_case_10_a_hold_whose_client_died_is_free_at_its_expiry_without_any_request() -> None:
    ledger = ledger_with(15, 1)
    ledger.held(8, NOON, seconds=60)

    before, after = (ledger.status(NOON + ONE_MINUTE + d) for d in (-ONE_MILLISECOND, 0 * ONE_DAY))

    assert (before.credits_held, before.remaining_credits) == (8, 7)
    assert (after.credits_held, after.remaining_credits) == (0, 15)


# --- more than was held -------------------------------------------------------------------


def test_more_than_was_held_charges_the_difference_if_it_is_covered() -> None:
    ledger = ledger_with(15, 1)
    first, second = ledger.held(8, NOON), ledger.held(2, NOON)

    refusal = refusal_of(ledger.settle(first, 14, NOON))
    settled = ledger.settle(first, 13, NOON)

    assert refusal.reason is Rejection.INSUFFICIENT_CREDITS
    assert refusal.shortfall is not None
    assert (refusal.shortfall.remaining_credits, refusal.shortfall.required_credits) == (5, 6)
    assert isinstance(settled, HoldSettled)
    assert left(ledger, NOON) == 0
    assert isinstance(ledger.settle(second, 3, NOON, record=True), HoldSettled)
    assert left(ledger, NOON) == -1


def test_what_was_held_can_be_settled_even_in_debt_and_while_paused() -> None:
    ledger = ledger_with(15, 2)
    hold_id, other = ledger.held(8, NOON), ledger.held(1, NOON)
    ledger.record(100, NOON)
    ledger.change(NOON, status=Status.PAUSED)

    assert refusal_of(ledger.settle(other, 2, NOON)).reason is Rejection.NO_ACTIVE_SUBSCRIPTION
    assert isinstance(ledger.settle(hold_id, 8, NOON), HoldSettled)


# --- midnight -----------------------------------------------------------------------------


@pytest.mark.parametrize(("cap", "freed"), [(None, 4), (3, 3), (0, 0)])
def test_a_hold_over_midnight_is_charged_to_its_day_and_what_it_frees_rolls_over(
    cap: int | None, freed: int
) -> None:
    ledger = ledger_with(10, 5, rollover_cap=cap)
    hold_id = ledger.held(10, LATE, seconds=3600)
    ledger.charge(2, NEXT)
    ledger.held(3, NEXT)
    before = ledger.status(NEXT)

    settled = ledger.settle(hold_id, 6, NEXT)

    assert (before.credits_held, before.credits_rolled_over) == (3, 0)
    assert isinstance(settled, HoldSettled)
    assert opening_of(settled).starts_at == utc("2026-03-02")
    after = ledger.status(NEXT)
    assert (after.credits_used, after.credits_held, after.credits_rolled_over) == (2, 3, freed)
    assert after.remaining_credits == 10 + freed - 2 - 3


def test_what_an_expired_hold_of_yesterday_frees_rolls_over_before_anybody_writes_so() -> None:
    ledger = ledger_with(10, 5)
    hold_id = ledger.held(10, LATE, seconds=3600)
    ledger.charge(10, NEXT)

    refusal = refusal_of(ledger.charge(1, NEXT))
    then = NEXT + timedelta(hours=1)
    free = ledger.status(then)
    charged = ledger.charge(10, then)
    ledger.expire_hold(hold_id, then)

    assert refusal.reason is Rejection.INSUFFICIENT_CREDITS
    assert (free.credits_rolled_over, free.remaining_credits) == (10, 10)
    assert isinstance(charged, UsageRecorded)
    assert ledger.account.subscriptions[0].earlier == ()
    assert ledger.status(then).remaining_credits == 0


def test_a_hold_over_midnight_spends_no_credits_of_two_days() -> None:
    ledger = ledger_with(10, 5)
    hold_id = ledger.held(10, LATE, seconds=3600)
    ledger.charge(10, NEXT)

    refusal = refusal_of(ledger.settle(hold_id, 11, NEXT))

    assert refusal.reason is Rejection.INSUFFICIENT_CREDITS
    assert isinstance(ledger.settle(hold_id, 10, NEXT), HoldSettled)
    assert left(ledger, NEXT) == 0
    assert left(ledger, NEXT + ONE_DAY) == 10


# --- ends ---------------------------------------------------------------------------------


def test_at_the_end_of_the_subscription_its_holds_are_over() -> None:
    ledger = ledger_with(10, 1)
    hold_id = ledger.held(10, LATE, seconds=3600)

    refusal = refusal_of(ledger.settle(hold_id, 10, utc("2026-03-03")))
    freed = ledger.expire_hold(hold_id, utc("2026-03-03"))

    assert refusal.reason is Rejection.HOLD_CLOSED
    assert isinstance(freed, HoldFreed)
    assert ledger.status(utc("2026-03-03")).credits_held == 0


def test_an_open_hold_does_not_expire_and_a_closed_one_not_again() -> None:
    ledger = ledger_with(10, 1)
    hold_id = ledger.held(10, NOON)

    early = refusal_of(ledger.expire_hold(hold_id, NOON))
    ledger.release(hold_id, NOON)

    assert early.reason is Rejection.NOT_ENDED
    assert refusal_of(ledger.expire_hold(hold_id, NOON + ONE_DAY)).reason is Rejection.HOLD_CLOSED
    assert refusal_of(ledger.release(hold_id, NOON)).reason is Rejection.HOLD_CLOSED


def test_holds_that_are_over_do_not_count_against_the_most_there_may_be() -> None:
    ledger = ledger_with(10, 5)
    ledger.policy = replace(ledger.policy, holds_per_account=2)
    for _ in range(2):
        ledger.held(1, NOON, seconds=60)

    assert refusal_of(ledger.hold(1, NOON)).reason is Rejection.TOO_MANY_HOLDS
    assert isinstance(ledger.hold(1, NOON + ONE_MINUTE), HoldPlaced)


# --- ids ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["ada", "a" * 128, "é.%/?#+&", "\U0001f600" * 128, "65a1b2c3d4e5f60718293a4b"]
)
def test_a_hold_id_names_its_user_and_nothing_else_does(name: str) -> None:
    user_id = UserId(name)
    hold_id = make_hold_id(NOON, user_id, "key", "chat")

    assert holder_of(hold_id) == user_id
    assert len(hold_id) <= HOLD_ID_LENGTH_MAX
    assert set(hold_id) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    for other in (hold_id[:-1], hold_id.upper(), "x" + hold_id, hold_id.replace(".", ""), "", "é"):
        assert holder_of(other) is None


@pytest.mark.parametrize("service", ["chat", "", "a b\x1f", "\U0001f600" * 64])
def test_a_hold_id_shows_its_service_to_those_who_know_it(service: str) -> None:
    hold_id = make_hold_id(NOON, UserId("ada"), "key", service)

    assert is_hold_for(hold_id, service)
    assert is_hold_for(rename_hold_id(hold_id, UserId("bob")), service)
    for other in ("image", service + " ", service[:-1] if service else "x", "CHAT"):
        assert not is_hold_for(hold_id, other)


def test_holds_of_one_instant_and_service_have_ids_of_their_own() -> None:
    ids = {make_hold_id(NOON, UserId("ada"), f"key-{n}", "chat") for n in range(5_000)}

    assert len(ids) == 5_000


# --- documents of other programs ----------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        "text",
        [7, None, "x"],
        [{}],
        [{"hold_id": "mine", "credit_amount": 5}],
        [{"hold_id": 7, "credit_amount": 5}],
    ],
)
def test_holds_that_cannot_be_read_hold_nothing_and_are_named(garbage: object) -> None:
    ledger, database = ledger_with(10, 5), Database(USER)
    ledger.charge(3, NOON)
    database.apply(ledger.entries)
    (day,) = database.days.values()
    day["holds"] = garbage

    recovered = recover(database.stored([]), NOON, ledger.policy)

    assert recovered.account.holds() == []
    assert recovered.quarantined
    assert all("hold" in document.reason for document in recovered.quarantined)
    assert recovered.account == ledger.account


def test_one_hold_that_cannot_be_read_takes_no_other_with_it() -> None:
    ledger, database = ledger_with(10, 5), Database(USER)
    ledger.held(3, NOON)
    database.apply(ledger.entries)
    (day,) = database.days.values()
    (good,) = day["holds"]
    too_deep = '{"a":' * 100_000
    spoilt = [good | {"credit_amount": -1}, *(good | {"details": d} for d in ("{", too_deep))]
    day["holds"] = [*spoilt, good]

    recovered = recover(database.stored([]), NOON, ledger.policy)

    assert [hold_document(one.hold) for one in recovered.account.holds()] == [good]
    assert len(recovered.quarantined) == 3


def test_a_hold_in_ram_that_the_document_lacks_is_a_difference() -> None:
    ledger, database = ledger_with(10, 5), Database(USER)
    ledger.held(3, NOON)
    database.apply(ledger.entries)
    (day,) = database.days.values()
    same = recover(database.stored([]), NOON, ledger.policy).account
    day["holds"] = []
    other = recover(database.stored([]), NOON, ledger.policy).account

    assert difference(ledger.account, same, NOON, ledger.policy) is None
    assert difference(ledger.account, other, NOON, ledger.policy) is not None
    over = NOON + ONE_DAY
    assert difference(ledger.account, other, over, ledger.policy) is None


# --- when a refused request would pass ----------------------------------------------------


def test_a_hold_that_is_over_before_its_own_day_begins_again_is_foreseen() -> None:
    ledger = ledger_with(15, 3, rollover_cap=0)
    tomorrow = midnight(NOON.date() + ONE_DAY, "UTC")
    ledger.charge(0, tomorrow)  # By a clock that was ahead, and is set back:
    ledger.hold(40, tomorrow - ONE_MINUTE, seconds=30, record=True)

    refusal = ask_for(ledger, 7, tomorrow - ONE_MINUTE)

    assert isinstance(refusal, Shortfall)
    assert refusal.available_at == tomorrow + ONE_DAY


ZONES = ["UTC", "Pacific/Auckland", "America/Santiago", "Africa/Cairo", "Asia/Kathmandu"]


def random_account(random: Random) -> tuple[Ledger, datetime]:
    """Live for some days with several grants, debts, caps and holds."""
    zone, now = random.choice(ZONES), NOON
    cap = random.choice([None, None, Credits(0), Credits(40)])
    ledger = Ledger(Policy(random.choice([0, 1000]), cap, zone))
    ledger.add(random.randint(1, 2000), random.randint(2, 40), now)
    for _ in range(random.randint(0, 12)):
        now += timedelta(seconds=random.randint(0, 60_000))
        match random.choice(["add", "charge", "charge", "record", "hold", "hold", "settle"]):
            case "add":
                ledger.add(random.randint(1, 600), random.randint(1, 20), now)
            case "charge":
                ledger.charge(random.randint(0, 60), now)
            case "record":
                ledger.record(random.randint(0, 90), now)
            case "hold":
                ledger.hold(random.randint(0, 40), now, seconds=random.randint(1, 86_400))
            case "settle":
                for one in ledger.account.holds()[:1]:
                    ledger.settle(one.hold.hold_id, random.randint(0, 40), now)
    return ledger, now


def ask_for(ledger: Ledger, amount: int, now: datetime) -> HoldPlaced | Shortfall:
    """Ask for a hold, and leave the account as it is."""
    command = PlaceHold(USER, "chat", Credits(amount))
    decision = decide(ledger.account, command, "asked", now, ledger.policy)
    if isinstance(decision, HoldPlaced):
        return decision
    shortfall = refusal_of(decision).shortfall
    assert shortfall is not None
    return shortfall


@pytest.mark.parametrize("seed", range(1000))
def test_waiting_until_available_at_helps_and_no_earlier_midnight_does(seed: int) -> None:
    random = Random(seed)
    ledger, now = random_account(random)
    subscription = ledger.account.subscriptions[-1]
    amount = max(left(ledger, now), 0) + random.choice([1, 5, 30, 100, 1000])

    refusal = ask_for(ledger, amount, now)

    assert isinstance(refusal, Shortfall)
    begins = midnight(day_of(now, subscription.timezone) + ONE_DAY, subscription.timezone)
    while begins < (refusal.available_at or subscription.end):
        assert isinstance(ask_for(ledger, amount, begins), Shortfall)
        begins = midnight(day_of(begins, subscription.timezone) + ONE_DAY, subscription.timezone)
    if refusal.available_at is not None:
        at = refusal.available_at
        assert begins == at
        assert isinstance(ask_for(ledger, amount, at), HoldPlaced)
        # An expiry within a day frees credits then, which no midnight foretells.
        before = midnight(
            day_of(at - ONE_MILLISECOND, subscription.timezone), subscription.timezone
        )
        expiries = [one.hold.expires_at for one in ledger.account.holds()]
        if not any(max(before, now) < expiry < at for expiry in expiries):
            assert isinstance(ask_for(ledger, amount, at - timedelta(seconds=1)), Shortfall)
