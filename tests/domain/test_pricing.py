"""What tokens cost: exactly, by the first price that fits, whatever happens to the list later."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.protocol.calls import Call, Outcome
from actors.shard.draft import Draft
from domain.charges import OnInsufficient
from domain.documents.journal import entry_document, read_entry
from domain.evolve import replay
from domain.fingerprints import fingerprint
from domain.holds import HoldSettled, SettleHold
from domain.messages import RecordUsage, Rejection
from domain.pricing import Price, PriceList, read_prices
from domain.values import CREDITS_MAX, Credits, Policy
from tests.builders.ledger import (
    NOON,
    ONE_DAY,
    USER,
    Ledger,
    charge_of,
    ledger_with,
    refusal_of,
    utc,
)

PAGE = (Path(__file__).parents[2] / "docs" / "pricing.md").read_text()
EXAMPLE = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0]
CHEAP = Price("*", "small-*", Decimal("0.25"), 1000)


def by_tokens(
    tokens: int | None = 1000, model: str | None = "small-1", amount: int | None = None
) -> RecordUsage:
    credits_ = None if amount is None else Credits(amount)
    return RecordUsage(USER, "chat", credits_, token_count=tokens, model_used=model)


def priced(*prices: Price) -> Ledger:
    ledger = ledger_with(1000, 5)
    ledger.policy = replace(ledger.policy, prices=PriceList(prices))
    return ledger


# --- what a price comes to ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "unit", "tokens", "cost"),
    [
        ("0.25", 1000, 0, 0),
        ("0.25", 1000, 1, 1),
        ("0.25", 1000, 4000, 1),
        ("0.25", 1000, 4001, 2),
        ("0.1", 1, 3, 1),  # 0.1 as a binary fraction is more than a tenth:
        ("0.1", 1, 30, 3),  # three times ten of those would be 4.
        ("0.000000000001", 1, 10**12, 1),
        ("3", 60, 61, 4),
        ("0", 1, 10**9, 0),
    ],
)
def test_a_cost_is_exact_and_rounded_up_once(rate: str, unit: int, tokens: int, cost: int) -> None:
    assert Price("*", None, Decimal(rate), unit).cost(tokens) == cost


@given(
    st.decimals(0, 10**6, places=12),
    st.integers(1, 10**7),
    st.integers(0, CREDITS_MAX),
)
def test_a_cost_is_what_fractions_say(rate: Decimal, unit: int, tokens: int) -> None:
    exact = Fraction(rate) * tokens / unit

    assert Price("*", None, rate, unit).cost(tokens) == ceil(exact)


# --- which price --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "model", "at", "found"),
    [
        ("chat", "large-7", "2026-02-28T23:59", 1),
        ("chat", "large-7", "2026-03-01T00:00", 0),
        ("chat", "Large-7", "2026-03-01T00:00", 2),
        ("mail", "large-7", "2026-03-01T00:00", 2),
        ("chat", None, "2026-03-01T00:00", None),
        ("render-4k", None, "2026-12-31T22:59", 3),
        ("render-4k", None, "2026-12-31T23:00", None),
        ("render-4k", "gpu", "2027-06-01T00:00", 2),
        ("render", None, "2026-03-01T00:00", None),
    ],
)
def test_the_first_price_that_fits_is_the_price(
    service: str, model: str | None, at: str, found: int | None
) -> None:
    prices = read_prices(EXAMPLE)

    price = prices.find(service, model, utc(at))

    assert price == (None if found is None else prices.prices[found])


def test_the_example_of_the_page_costs_what_the_page_says() -> None:
    prices = read_prices(EXAMPLE)

    costs = [
        price.cost(1001)
        for month in (3, 2)
        if (price := prices.find("chat", "large-7", datetime(2026, month, 5, tzinfo=UTC)))
    ]

    assert costs == [5, 6]
    assert "cost 5 credits in March (4.004, rounded up) and 6 in February" in PAGE


ROW = "[[prices]]\ncredits_per_unit = 1\nunit_size = 1\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "prices: Field required"),
        ("prices = []", "prices: List should have at least 1 item"),
        ("[[prices]", "it is not TOML"),
        ("prices = " + "[" * 100_000, "it is not TOML"),
        (ROW + ROW + "colour = 1", "prices 2 colour: Extra inputs are not permitted"),
        (ROW + "model = 7", "prices 1 model: Input should be a valid string"),
        (ROW + 'service = ""', "prices 1 service: String should have at least 1 character"),
        (ROW.replace("unit_size = 1", ""), "prices 1 unit_size: Field required"),
        (ROW.replace("unit_size = 1", "unit_size = 0"), "prices 1 unit_size: "),
        (ROW.replace("unit_size = 1", "unit_size = 1.5"), "prices 1 unit_size: "),
        (ROW.replace("unit_size = 1", "unit_size = true"), "prices 1 unit_size: "),
        (ROW.replace("unit = 1", "unit = -1"), "prices 1 credits_per_unit: "),
        (ROW.replace("unit = 1", "unit = nan"), "prices 1 credits_per_unit: "),
        (ROW.replace("unit = 1", "unit = true"), "prices 1 credits_per_unit: must be a number"),
        (ROW.replace("unit = 1", 'unit = "1"'), "prices 1 credits_per_unit: must be a number"),
        (ROW.replace("unit = 1", "unit = 1e-13"), "prices 1 credits_per_unit: "),
        (ROW + "effective_from = 2026-03-01T00:00:00", "prices 1 effective_from: "),
        (ROW + 'effective_from = "2026-03-01"', "prices 1 effective_from: must be a date"),
        (
            ROW + "effective_from = 2026-03-01\neffective_until = 2026-03-01",
            "prices 1: effective_until is not after effective_from",
        ),
        (ROW * 1001, "prices: List should have at most 1000 items"),
    ],
)
def test_what_is_no_price_list_is_told_by_its_place(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(told)}"):
        read_prices(text)


# --- charges ------------------------------------------------------------------------------


def test_a_charge_without_an_amount_costs_what_its_price_says_and_keeps_the_price() -> None:
    ledger = priced(CHEAP)

    charge = charge_of(ledger.do(by_tokens(9000), NOON))

    assert (charge.credit_amount, charge.price) == (3, CHEAP)
    assert ledger.status(NOON).credits_used == 3


def test_with_both_the_amount_wins_and_no_price_was_applied() -> None:
    charge = charge_of(priced(CHEAP).do(by_tokens(9000, amount=50), NOON))

    assert (charge.credit_amount, charge.price) == (50, None)


@pytest.mark.parametrize("model", [None, "large-1"])
def test_where_no_price_fits_nothing_is_charged(model: str | None) -> None:
    ledger = priced(CHEAP)

    refusal = refusal_of(ledger.do(by_tokens(9000, model), NOON))

    assert refusal.reason is Rejection.NO_PRICE
    assert ledger.status(NOON).credits_used == 0


def test_a_cost_past_the_largest_amount_is_refused() -> None:
    ledger = priced(Price("*", None, Decimal(2), 1))

    refusal = refusal_of(ledger.do(by_tokens(CREDITS_MAX), NOON))

    assert refusal.reason is Rejection.AMOUNT_TOO_LARGE


def test_a_refusal_for_want_of_credits_says_what_it_would_have_cost() -> None:
    refusal = refusal_of(priced(CHEAP).do(by_tokens(8_000_000), NOON))

    assert refusal.shortfall is not None
    assert refusal.shortfall.required_credits == 2000


# --- settlements --------------------------------------------------------------------------


def settle(
    hold_id: str,
    tokens: int | None,
    model: str | None = "small-1",
    rule: OnInsufficient = OnInsufficient.CAP,
) -> SettleHold:
    return SettleHold(
        USER, hold_id, None, token_count=tokens, model_used=model, on_insufficient=rule
    )


def test_a_settlement_without_an_amount_costs_what_its_price_says() -> None:
    ledger = priced(CHEAP)
    hold_id = ledger.held(10, NOON)

    settled = ledger.do(settle(hold_id, 9000), NOON)

    assert isinstance(settled, HoldSettled)
    assert (settled.usage.credit_amount, settled.usage.price) == (3, CHEAP)
    assert (ledger.status(NOON).credits_used, ledger.status(NOON).credits_held) == (3, 0)


def test_a_settlement_that_costs_more_than_was_held_charges_what_is_there() -> None:
    ledger = priced(CHEAP)
    hold_id = ledger.held(10, NOON)

    settled = ledger.do(settle(hold_id, 9_000_000), NOON)

    assert isinstance(settled, HoldSettled)
    assert (settled.usage.credit_amount, settled.usage.uncovered_credits) == (1000, 1250)
    assert ledger.status(NOON).remaining_credits == 0


def test_a_settlement_that_costs_more_than_was_held_must_be_covered_where_it_is_told_so() -> None:
    ledger = priced(CHEAP)
    hold_id = ledger.held(10, NOON)

    command = settle(hold_id, 9_000_000, rule=OnInsufficient.REJECT)
    refusal = refusal_of(ledger.do(command, NOON))

    assert refusal.reason is Rejection.INSUFFICIENT_CREDITS
    assert ledger.status(NOON).credits_held == 10


def test_a_settlement_without_a_price_leaves_the_hold_open() -> None:
    ledger = priced(CHEAP)
    hold_id = ledger.held(10, NOON)

    refusal = refusal_of(ledger.do(settle(hold_id, 9000, model=None), NOON))

    assert refusal.reason is Rejection.NO_PRICE
    assert ledger.status(NOON).credits_held == 10


def test_a_hold_is_settled_by_the_price_of_when_it_was_made() -> None:
    midnight = utc("2026-03-03")
    before = replace(CHEAP, effective_until=midnight)
    after = replace(CHEAP, credits_per_unit=Decimal(1), effective_from=midnight)
    ledger = priced(before, after)
    first = ledger.held(10, midnight - timedelta(seconds=1))
    second = ledger.held(10, midnight)

    settled = [
        ledger.do(settle(hold_id, 8000), midnight + ONE_DAY / 500) for hold_id in (first, second)
    ]

    assert [s.usage.credit_amount for s in settled if isinstance(s, HoldSettled)] == [2, 8]


# --- repeats and replay -------------------------------------------------------------------


def test_a_repeat_gets_the_first_answer_although_the_price_has_changed() -> None:
    ledger = priced(CHEAP)
    call = Call(by_tokens(9000), "key", keep_refusal=True)
    first = Draft({USER: ledger.account}, {}, NOON, ledger.policy)
    answer = first.decide(call)
    dearer = replace(ledger.policy, prices=PriceList((Price("*", None, Decimal(9), 1),)))
    later = Draft(first.accounts, first.answers, NOON, dearer)

    again = later.decide(call)
    other = later.decide(call._replace(command=by_tokens(9000, amount=3)))

    assert answer.outcome is again.outcome is Outcome.DONE
    assert (again.body, again.replayed, later.entries) == (answer.body, True, [])
    assert other.refusal is not None
    assert other.refusal.reason is Rejection.KEY_REUSED


def test_a_fingerprint_is_of_what_was_asked() -> None:
    assert fingerprint(by_tokens()) != fingerprint(by_tokens(amount=1))


def test_replay_needs_no_price_list() -> None:
    ledger = priced(CHEAP)
    begun = ledger.account
    hold_id = ledger.held(10, NOON)
    ledger.do(settle(hold_id, 9000), NOON)
    ledger.do(by_tokens(5000), NOON)

    documents = [entry_document(entry) for entry in ledger.entries]
    replayed = replay(begun, [read_entry(d) for d in documents if d["seq"] > begun.seq])

    assert replayed == ledger.account
    assert Policy().prices == PriceList()


def test_an_entry_of_before_there_were_prices_is_read() -> None:
    ledger = priced(CHEAP)
    ledger.charge(5, NOON)
    document = entry_document(ledger.entries[-1])
    older = json.loads(document["body"])
    del older["price"]

    for body in (older, json.dumps(older)):
        assert read_entry(document | {"body": body}) == ledger.entries[-1]
