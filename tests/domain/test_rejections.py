"""Every reason to change nothing, and which one is told where several hold."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from actors.protocol.calls import Call, Outcome
from actors.shard.draft import Draft
from domain.account import NOTHING_MORE, Account
from domain.charges import Charge, OnInsufficient
from domain.corrections import AdjustCredits, ReverseUsage
from domain.eras import ERAS_MAX
from domain.grants import GRANTS_MAX, TRANSACTION_IDS_MAX
from domain.holds import PlaceHold, SettleHold
from domain.messages import (
    AddCredit,
    ChangeSubscription,
    Command,
    CommandRefused,
    ExpireSubscription,
    Limit,
    RecordUsage,
    Refusal,
    Rejection,
    Shortfall,
    SubscriptionChanged,
)
from domain.pack_messages import AddPack, ExpirePack
from domain.stripe import VoidGrants
from domain.values import CREDITS_MAX, Credits, Status
from tests.builders.ledger import (
    ALL_SPENDABLE,
    NOON,
    ONE_DAY,
    USER,
    Ledger,
    ledger_with,
    pay,
    refusal_of,
    utc,
)

PAID = "transaction 0"
BY_TOKENS = RecordUsage(USER, "chat", None, token_count=1)


def draft_of(account: Account) -> Draft:
    return Draft({USER: account}, {}, NOON, ALL_SPENDABLE)


def charge(amount: int, on_insufficient: OnInsufficient = OnInsufficient.REJECT) -> RecordUsage:
    return RecordUsage(USER, "chat", Credits(amount), on_insufficient=on_insufficient)


def refused_by_reused_key() -> Refusal:
    draft = draft_of(ledger_with(10, 5).account)
    draft.decide(Call(charge(1), "key", keep_refusal=True))
    return refusal_of(draft.decide(Call(charge(2), "key", keep_refusal=True)).refusal)


def refused_for_want_of_such_a_subscription() -> Refusal:
    return refusal_of(ledger_with(10, 5).do(ChangeSubscription(USER, "none", Status.PAUSED), NOON))


def refused_for_an_end_before_the_start() -> Refusal:
    ledger = ledger_with(10, 5)
    subscription_id = ledger.account.subscriptions[0].subscription_id
    return refusal_of(ledger.do(ChangeSubscription(USER, subscription_id, None, NOON), NOON))


def moved_often() -> Ledger:
    """Hold an account whose zone was changed on as many dates before today as it may be."""
    begun = NOON - ERAS_MAX * ONE_DAY
    ledger = ledger_with(1, 200, now=begun)
    for place in range(ERAS_MAX):
        moved = ledger.change(begun + place * ONE_DAY, timezone=("Asia/Tokyo", "UTC")[place % 2])
        assert isinstance(moved, SubscriptionChanged)
    return ledger


def refused_for_too_many_zones() -> Refusal:
    return refusal_of(moved_often().change(NOON, timezone="Asia/Tokyo"))


def refused_for_an_expiry_that_has_come() -> Refusal:
    command = AddPack(USER, Credits(1), pay("a pack"), expires_at=NOON)
    return refusal_of(ledger_with(10, 5).do(command, NOON))


def refused_for_want_of_such_a_usage() -> Refusal:
    return refusal_of(ledger_with(10, 5).do(ReverseUsage(USER, "none", None, "why"), NOON))


def refused_because_all_is_back() -> Refusal:
    return refusal_of(with_charge(back=5).do(ReverseUsage(USER, "charge", None, "why"), NOON))


def refused_because_less_was_charged() -> Refusal:
    command = ReverseUsage(USER, "charge", Credits(4), "why")
    return refusal_of(with_charge(back=2).do(command, NOON))


def with_charge(*, back: int) -> Ledger:
    """Return a ledger that has recalled a charge of 5, of which a part has gone back."""
    ledger = ledger_with(10, 5)
    day = ledger.account.subscriptions[0].first_day
    charge = Charge("charge", None, day, Credits(5), (), Credits(back))
    extra = replace(NOTHING_MORE, charges=(charge,))
    ledger.account = ledger.account.with_extra(extra)
    return ledger


def refused_for_want_of_such_a_pack() -> Refusal:
    return refusal_of(ledger_with(10, 5).do(ExpirePack(USER, "none"), NOON))


def refused_because_it_goes_on() -> Refusal:
    ledger = ledger_with(10, 5)
    subscription_id = ledger.account.subscriptions[0].subscription_id
    return refusal_of(ledger.do(ExpireSubscription(USER, subscription_id), NOON))


def refused_because_the_hold_is_closed() -> Refusal:
    ledger = ledger_with(10, 5)
    hold_id = ledger.held(1, NOON)
    ledger.release(hold_id, NOON)
    return refusal_of(ledger.settle(hold_id, 1, NOON))


def refused_for_too_many_holds() -> Refusal:
    return refusal_of(spent_and_with_all_holds().hold(0, NOON))


def spent_and_with_all_holds() -> Ledger:
    ledger = ledger_with(10, 5)
    for _ in range(ledger.policy.holds_per_account):
        ledger.held(0, NOON)
    ledger.charge(10, NOON)
    return ledger


def refused_by_paid_transaction() -> Refusal:
    return refusal_of(ledger_with(10, 5).add(1, 1, NOON, transaction_id=PAID))


def refused_for_want_of_a_price() -> Refusal:
    return refusal_of(ledger_with(10, 5).do(BY_TOKENS, NOON))


def refused_without_subscription() -> Refusal:
    return refusal_of(Ledger().charge(0, NOON))


def refused_for_its_size() -> Refusal:
    return refusal_of(ledger_with(10, 5).add(CREDITS_MAX, 1, NOON))


def refused_for_too_many_grants() -> Refusal:
    ledger = ledger_with(10, 5)
    ledger.add(1, 1, NOON, transaction_id="x" * TRANSACTION_IDS_MAX)
    return refusal_of(ledger.add(1, 1, NOON))


def refused_for_want_of_credits() -> Refusal:
    return refusal_of(ledger_with(10, 5).charge(11, NOON))


def refused_for_want_of_such_a_grant() -> Refusal:
    return refusal_of(ledger_with(10, 3).do(VoidGrants(USER, "in_unknown", 0, 1), NOON))


EVIDENCE: dict[Rejection, Callable[[], Refusal]] = {
    Rejection.KEY_REUSED: refused_by_reused_key,
    Rejection.NO_SUCH_SUBSCRIPTION: refused_for_want_of_such_a_subscription,
    Rejection.END_NOT_AFTER_START: refused_for_an_end_before_the_start,
    Rejection.TOO_MANY_ZONES: refused_for_too_many_zones,
    Rejection.EXPIRY_NOT_IN_FUTURE: refused_for_an_expiry_that_has_come,
    Rejection.NO_SUCH_USAGE: refused_for_want_of_such_a_usage,
    Rejection.ALREADY_REVERSED: refused_because_all_is_back,
    Rejection.MORE_THAN_CHARGED: refused_because_less_was_charged,
    Rejection.NO_SUCH_PACK: refused_for_want_of_such_a_pack,
    Rejection.HOLD_CLOSED: refused_because_the_hold_is_closed,
    Rejection.NOT_ENDED: refused_because_it_goes_on,
    Rejection.NO_SUCH_GRANT: refused_for_want_of_such_a_grant,
    Rejection.DUPLICATE_PAYMENT: refused_by_paid_transaction,
    Rejection.NO_PRICE: refused_for_want_of_a_price,
    Rejection.NO_ACTIVE_SUBSCRIPTION: refused_without_subscription,
    Rejection.TOO_MANY_HOLDS: refused_for_too_many_holds,
    Rejection.AMOUNT_TOO_LARGE: refused_for_its_size,
    Rejection.TOO_MANY_GRANTS: refused_for_too_many_grants,
    Rejection.INSUFFICIENT_CREDITS: refused_for_want_of_credits,
}


def test_there_is_evidence_for_every_rejection_in_its_order() -> None:
    assert list(EVIDENCE) == list(Rejection)


@pytest.mark.parametrize("rejection", Rejection)
def test_every_rejection_happens(rejection: Rejection) -> None:
    assert EVIDENCE[rejection]().reason is rejection


def spent() -> Account:
    """Hold an account that was given all credits there are, and has used them."""
    ledger = Ledger()
    ledger.add(CREDITS_MAX, 1, NOON, transaction_id=PAID)
    ledger.charge(CREDITS_MAX, NOON)
    return ledger.account


def spent_and_paused() -> Account:
    account = spent()
    return account.with_subscription(replace(account.subscriptions[0], status=Status.PAUSED))


# Each pair of neighbours in the enum that one command can meet, with both reasons there.
PAID_AGAIN = AddCredit(USER, Credits(CREDITS_MAX), 1, pay(PAID))
ONE_HOLD = PlaceHold(USER, "chat", Credits(CREDITS_MAX))
LONG_AGO = utc("2020-01-01")
MOVED_OFTEN = moved_often().account
ALL_HOLDS = spent_and_with_all_holds().account
PAUSED_WITH_ALL_HOLDS = ALL_HOLDS.with_subscription(
    replace(ALL_HOLDS.subscriptions[0], status=Status.PAUSED)
)
ONE_PACK_TOO_LATE = AddPack(USER, Credits(CREDITS_MAX), pay("new"), expires_at=NOON)
PAID_PACK_TOO_LATE = AddPack(USER, Credits(CREDITS_MAX), pay(PAID), expires_at=NOON)
BOTH_REASONS: dict[tuple[Rejection, Rejection], tuple[Account, Command]] = {
    (Rejection.EXPIRY_NOT_IN_FUTURE, Rejection.DUPLICATE_PAYMENT): (spent(), PAID_PACK_TOO_LATE),
    (Rejection.EXPIRY_NOT_IN_FUTURE, Rejection.NO_ACTIVE_SUBSCRIPTION): (
        Account(USER),
        AdjustCredits(USER, Credits(-1), None, "why", expires_at=NOON),
    ),
    (Rejection.KEY_REUSED, Rejection.NO_SUCH_USAGE): (
        spent(),
        ReverseUsage(USER, "none", None, "why"),
    ),
    (Rejection.KEY_REUSED, Rejection.EXPIRY_NOT_IN_FUTURE): (spent(), ONE_PACK_TOO_LATE),
    (Rejection.KEY_REUSED, Rejection.NO_SUCH_SUBSCRIPTION): (
        spent(),
        ChangeSubscription(USER, "none", None, NOON),
    ),
    (Rejection.END_NOT_AFTER_START, Rejection.TOO_MANY_ZONES): (
        MOVED_OFTEN,
        ChangeSubscription(
            USER, MOVED_OFTEN.subscriptions[0].subscription_id, None, LONG_AGO, "Asia/Tokyo"
        ),
    ),
    (Rejection.KEY_REUSED, Rejection.HOLD_CLOSED): (
        spent(),
        SettleHold(USER, "none", Credits(1)),
    ),
    (Rejection.HOLD_CLOSED, Rejection.NO_PRICE): (
        spent(),
        SettleHold(USER, "none", None, token_count=1),
    ),
    (Rejection.NO_PRICE, Rejection.NO_ACTIVE_SUBSCRIPTION): (spent_and_paused(), BY_TOKENS),
    (Rejection.HOLD_CLOSED, Rejection.NO_ACTIVE_SUBSCRIPTION): (
        spent_and_paused(),
        SettleHold(USER, "none", Credits(1)),
    ),
    (Rejection.NO_ACTIVE_SUBSCRIPTION, Rejection.TOO_MANY_HOLDS): (PAUSED_WITH_ALL_HOLDS, ONE_HOLD),
    (Rejection.TOO_MANY_HOLDS, Rejection.AMOUNT_TOO_LARGE): (ALL_HOLDS, ONE_HOLD),
    (Rejection.KEY_REUSED, Rejection.DUPLICATE_PAYMENT): (spent(), PAID_AGAIN),
    (Rejection.KEY_REUSED, Rejection.NO_ACTIVE_SUBSCRIPTION): (spent_and_paused(), charge(1)),
    (Rejection.DUPLICATE_PAYMENT, Rejection.AMOUNT_TOO_LARGE): (spent(), PAID_AGAIN),
    (Rejection.NO_ACTIVE_SUBSCRIPTION, Rejection.AMOUNT_TOO_LARGE): (spent_and_paused(), charge(1)),
    (Rejection.AMOUNT_TOO_LARGE, Rejection.INSUFFICIENT_CREDITS): (spent(), charge(1)),
}


@pytest.mark.parametrize(("first", "second"), BOTH_REASONS)
def test_of_two_reasons_the_one_listed_first_is_told(first: Rejection, second: Rejection) -> None:
    account, command = BOTH_REASONS[first, second]
    draft = draft_of(account)
    if first is Rejection.KEY_REUSED:
        draft.decide(Call(charge(0), "key", keep_refusal=True))

    reply = draft.decide(Call(command, "key", keep_refusal=True))

    assert reply.outcome is Outcome.REFUSED
    assert refusal_of(reply.refusal).reason is first
    assert list(Rejection).index(first) < list(Rejection).index(second)


def test_a_shortfall_that_a_day_will_cover_names_the_day() -> None:
    refusal = refusal_of(ledger_with(10, 5).charge(11, NOON))

    expected = Shortfall(Limit.DAILY, Credits(10), Credits(11), utc("2026-03-03"))
    assert refusal == Refusal(Rejection.INSUFFICIENT_CREDITS, expected)


def test_a_shortfall_that_no_day_will_cover_is_the_subscriptions() -> None:
    refusal = refusal_of(ledger_with(10, 5).charge(51, NOON))

    expected = Shortfall(Limit.SUBSCRIPTION, Credits(10), Credits(51), None)
    assert refusal == Refusal(Rejection.INSUFFICIENT_CREDITS, expected)


@pytest.mark.parametrize("status", [Status.PAUSED, Status.CANCELLED, Status.EXPIRED])
def test_a_subscription_that_may_not_spend_refuses_even_nothing(status: Status) -> None:
    ledger = ledger_with(10, 5)
    halted = replace(ledger.account.subscriptions[0], status=status)
    ledger.account = ledger.account.with_subscription(halted)

    refusals = [refusal_of(ledger.charge(0, NOON)), refusal_of(ledger.record(0, NOON))]

    nothing = Shortfall(Limit.SUBSCRIPTION, Credits(0), Credits(0), None)
    assert refusals == [Refusal(Rejection.NO_ACTIVE_SUBSCRIPTION, nothing)] * 2


def test_a_day_cannot_be_opened_without_a_current_subscription() -> None:
    ledger = ledger_with(10, 1)

    refusal = refusal_of(ledger.open_day(NOON + ONE_DAY))

    assert refusal.reason is Rejection.NO_ACTIVE_SUBSCRIPTION


def test_a_transaction_of_a_subscription_long_gone_is_still_paid() -> None:
    ledger = Ledger()
    for index in range(4):
        ledger.add(10, 1, NOON + 2 * index * ONE_DAY, transaction_id=f"paid {index}")

    refusals = [
        refusal_of(ledger.add(10, 1, NOON + 20 * ONE_DAY, transaction_id=f"paid {index}"))
        for index in range(4)
    ]

    assert {refusal.reason for refusal in refusals} == {Rejection.DUPLICATE_PAYMENT}


def test_no_day_holds_more_than_the_largest_amount() -> None:
    ledger = Ledger()
    ledger.add(CREDITS_MAX, 1, NOON)

    ledger.charge(CREDITS_MAX - 5, NOON)
    too_much, just_enough = ledger.record(6, NOON), ledger.record(5, NOON)

    assert refusal_of(too_much) == Refusal(Rejection.AMOUNT_TOO_LARGE)
    assert just_enough != too_much
    assert ledger.status(NOON).credits_used == CREDITS_MAX


def test_no_debt_is_deeper_than_the_largest_amount() -> None:
    ledger = ledger_with(0, 5)
    ledger.record(CREDITS_MAX, NOON)

    next_day = NOON + ONE_DAY
    refusals = [refusal_of(ledger.record(1, next_day)), refusal_of(ledger.charge(1, next_day))]

    assert [refusal.reason for refusal in refusals] == [Rejection.AMOUNT_TOO_LARGE] * 2
    assert ledger.status(next_day).remaining_credits == -CREDITS_MAX


def test_a_subscription_takes_so_many_grants_and_the_next_one_begins_anew() -> None:
    ledger = Ledger()
    for _ in range(GRANTS_MAX):
        ledger.add(1, 1, NOON)

    one_too_many = ledger.add(1, 1, NOON)
    ledger.add(1, 1, NOON + 2 * ONE_DAY)

    assert refusal_of(one_too_many) == Refusal(Rejection.TOO_MANY_GRANTS)
    assert ledger.status(NOON + 2 * ONE_DAY).total_credits == 1


def test_what_was_paid_to_stripe_is_added_however_many_grants_there_are() -> None:
    ledger = Ledger()
    for _ in range(GRANTS_MAX):
        ledger.add(1, 1, NOON)

    ledger.do(AddCredit(USER, Credits(7), 5, pay("cs_1"), paid_to_stripe=True), NOON)

    assert ledger.status(NOON).total_credits == GRANTS_MAX + 7


def test_a_subscription_takes_grants_until_their_transaction_ids_are_too_long_together() -> None:
    ledger, length = Ledger(), 200
    for number in range(TRANSACTION_IDS_MAX // length):
        ledger.add(1, 1, NOON, transaction_id=f"{number}".rjust(length))
    total = ledger.status(NOON).total_credits

    one_too_many = ledger.add(1, 1, NOON)
    ledger.add(1, 1, NOON + 2 * ONE_DAY)

    assert total == TRANSACTION_IDS_MAX // length
    assert refusal_of(one_too_many) == Refusal(Rejection.TOO_MANY_GRANTS)
    assert ledger.status(NOON + 2 * ONE_DAY).total_credits == 1


def test_a_subscription_takes_credits_up_to_the_largest_amount() -> None:
    ledger = ledger_with(10, 5)

    one_too_many = ledger.add(CREDITS_MAX - 49, 1, NOON)
    ledger.add(CREDITS_MAX - 50, 1, NOON)

    assert refusal_of(one_too_many) == Refusal(Rejection.AMOUNT_TOO_LARGE)
    assert ledger.status(NOON).total_credits == CREDITS_MAX


def test_a_refused_command_leaves_the_account_as_it_was_but_for_its_number() -> None:
    ledger = ledger_with(10, 5)
    before = ledger.account

    ledger.charge(11, NOON)

    assert isinstance(ledger.entries[-1].change, CommandRefused)
    assert ledger.account == replace(before, seq=before.seq + 1)
