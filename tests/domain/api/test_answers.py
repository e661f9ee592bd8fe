"""What a client reads: every field, from the account after the decision."""

import json
from dataclasses import replace
from datetime import date

import pytest

from domain.api.answers import CreditStatusResponse
from domain.api.list_answers import subscription_record
from domain.api.render import answer_text, status_answer
from domain.grants import Grant
from domain.low_credits import is_low
from domain.messages import RecordUsage
from domain.subscription import Subscription
from domain.values import Credits, Policy, Status
from tests.builders.ledger import NOON, ONE_DAY, USER, Ledger, ledger_with, utc


def last_answer(ledger: Ledger) -> dict[str, object]:
    answer = json.loads(ledger.entries[-1].answer or "null")
    assert isinstance(answer, dict)
    return answer


def test_a_user_without_subscription_has_nothing_in_the_services_zone() -> None:
    policy = Policy(timezone="Pacific/Auckland")

    status = status_answer(Ledger().account, NOON, policy)

    assert status == CreditStatusResponse(
        user_id="ada",
        subscription_id=None,
        status=Status.NONE,
        timezone="Pacific/Auckland",
        start_date=None,
        end_date=None,
        days_remaining=0,
        total_credits=0,
        system_portion=0,
        spendable_credits=0,
        date=utc("2026-03-02T11:00"),
        daily_credit_limit=0,
        credits_rolled_over=0,
        credits_used=0,
        credits_held=0,
        day_remaining_credits=0,
        pack_credits=0,
        remaining_credits=0,
        low_credits=False,
        resets_at=utc("2026-03-03T11:00"),
        as_of=NOON,
    )


def test_a_status_shows_the_subscription_and_its_day() -> None:
    ledger = Ledger(Policy())
    ledger.add(1009, 2, NOON)
    ledger.charge(400, NOON)

    status = ledger.status(NOON)

    assert status == CreditStatusResponse(
        user_id="ada",
        subscription_id=ledger.account.subscriptions[0].subscription_id,
        status=Status.ACTIVE,
        timezone="UTC",
        start_date=NOON,
        end_date=utc("2026-03-04"),
        days_remaining=2,
        total_credits=1009,
        system_portion=100,
        spendable_credits=909,
        date=utc("2026-03-02"),
        daily_credit_limit=454,
        credits_rolled_over=0,
        credits_used=400,
        credits_held=0,
        day_remaining_credits=54,
        pack_credits=0,
        remaining_credits=54,
        low_credits=True,
        resets_at=utc("2026-03-03"),
        as_of=NOON,
    )


@pytest.mark.parametrize(
    ("status", "shown", "remaining"),
    [
        (Status.ACTIVE, "active", 10),
        (Status.PAST_DUE, "past_due", 10),
        (Status.PAUSED, "paused", 10),
        (Status.CANCELLED, "cancelled", 0),
        (Status.EXPIRED, "expired", 0),
    ],
)
def test_only_a_current_subscription_shows_a_day(
    status: Status,
    shown: str,
    remaining: int,
) -> None:
    ledger = ledger_with(10, 5)
    changed = replace(ledger.account.subscriptions[0], status=status)
    ledger.account = ledger.account.with_subscription(changed)

    answer = ledger.status(NOON)

    assert (answer.status, answer.remaining_credits) == (shown, remaining)
    assert (answer.total_credits, answer.days_remaining) == (50, 5)


def test_after_the_end_what_is_left_is_forfeited_and_the_totals_stay() -> None:
    ledger = ledger_with(10, 2)
    ledger.charge(4, NOON)

    status = ledger.status(utc("2026-03-04"))

    assert (status.status, status.remaining_credits, status.days_remaining) == ("expired", 0, 0)
    assert (status.total_credits, status.low_credits) == (20, False)
    assert (status.date, status.resets_at) == (utc("2026-03-04"), utc("2026-03-05"))


def test_times_are_told_in_utc_with_a_z() -> None:
    told = json.loads(ledger_with(10, 5).status(NOON).model_dump_json())

    assert told["start_date"] == told["as_of"] == "2026-03-02T12:00:00Z"
    assert told["resets_at"] == "2026-03-03T00:00:00Z"


def test_an_addition_is_answered_with_the_grant_and_the_new_status() -> None:
    ledger = Ledger(Policy())

    ledger.add(1009, 2, NOON, transaction_id="t")

    answer = last_answer(ledger)
    assert answer.pop("grant_id") == ledger.account.subscriptions[0].grants[0].grant_id
    assert answer == {
        "created": True,
        "renewed": False,
        "amount": 1009,
        "system_portion": 100,
        "spendable_credits": 909,
        "days": 2,
        "payment": {"method": "card", "transaction_id": "t", "amount": 999, "currency": "EUR"},
        "subscription": json.loads(ledger.status(NOON).model_dump_json()),
        "kind": "daily",
        "pack_id": None,
        "expires_at": None,
    }


def test_a_charge_is_answered_with_the_record_and_the_day() -> None:
    ledger = ledger_with(100, 5)
    command = RecordUsage(
        *(USER, "chat", Credits(90), utc("2026-01-01")),
        token_count=7,
        model_used="m",
        session_id="s",
        details='{"a": [1, null]}',
    )

    ledger.do(command, NOON)

    answer = last_answer(ledger)
    assert isinstance(answer.pop("usage_id"), str)
    assert answer == {
        "user_id": "ada",
        "subscription_id": ledger.account.subscriptions[0].subscription_id,
        "service_type": "chat",
        "credit_amount": 90,
        "token_count": 7,
        "model_used": "m",
        "session_id": "s",
        "details": {"a": [1, None]},
        "timestamp": "2026-01-01T00:00:00Z",
        "date": "2026-03-02T00:00:00Z",
        "daily_credit_limit": 100,
        "credits_used": 90,
        "credits_held": 0,
        "remaining_credits": 10,
        "low_credits": True,
        "sources": [{"source": "day", "date": "2026-03-02T00:00:00Z", "credit_amount": 90}],
        "uncovered_credits": 0,
        "late": False,
    }


def test_a_day_opened_is_answered_with_the_status() -> None:
    ledger = ledger_with(10, 5)

    ledger.open_day(NOON + ONE_DAY)

    answer = answer_text(ledger.account, ledger.entries[-1], ledger.policy)
    assert CreditStatusResponse.model_validate_json(answer) == ledger.status(NOON + ONE_DAY)


@pytest.mark.parametrize(
    ("remaining", "day_credits", "low"),
    [(20, 100, True), (21, 100, False), (0, 0, True), (-1, 100, True), (1, 7, True), (2, 7, False)],
)
def test_credits_are_low_from_the_percentage_down(
    remaining: int,
    day_credits: int,
    low: bool,
) -> None:
    assert is_low(Credits(remaining), Credits(day_credits), Policy(low_credits_percent=20)) is low


def test_a_subscription_in_a_list_shows_its_grants_and_implied_ones_without_an_id() -> None:
    grant = Grant("g", Credits(10), Credits(1), date(2026, 3, 2), 3, "t")
    implied = Grant(None, Credits(-2), Credits(0), date(2026, 3, 2), 5)
    subscription = Subscription(
        "s", NOON, NOON + ONE_DAY, Status.ACTIVE, "UTC", Credits(1), (grant, implied)
    )

    record = subscription_record("ada", subscription, {"id": "sub_1"}, NOON + ONE_DAY)

    assert (record.total_credits, record.system_portion, record.spendable_credits) == (8, 1, 7)
    assert (record.status, record.stripe) == (Status.EXPIRED, {"id": "sub_1"})
    assert [(g.grant_id, g.spendable_credits, g.from_day, g.days) for g in record.grants] == [
        ("g", 9, "2026-03-02", 3),
        (None, -2, "2026-03-02", 5),
    ]
