"""What tokens told by kind cost, and that a charge without them is stored as it was."""

import json
import pickle
import re
from dataclasses import fields, replace
from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.api.requests import RecordUsageBody
from domain.documents.journal import entry_document, read_entry
from domain.evolve import replay
from domain.holds import SettleHold
from domain.messages import RecordUsage
from domain.pricing import Price, PriceList, Rates, read_prices
from domain.usage_facts import KINDS, Tokens, counts_of
from domain.values import CREDITS_MAX, Credits
from tests.builders.ledger import NOON, USER, Ledger, charge_of, ledger_with

PAGE = (Path(__file__).parents[2] / "docs" / "pricing.md").read_text()
DECIMALS = st.decimals(0, 10**6, places=12)
COUNTS = st.integers(0, CREDITS_MAX)
RATES = Rates(*map(Decimal, ("2", "8", "1", "3", "4")))
PRICE = Price("*", None, Decimal(9), 1000, by_kind=RATES)
TOKENS = Tokens(input=1000, output=500, reasoning=250)


def row(by_kind: str) -> str:
    return f"[[prices]]\ncredits_per_unit = 9\nunit_size = 1\nby_kind = {by_kind}\n"


def priced() -> Ledger:
    ledger = ledger_with(1000, 5)
    ledger.policy = replace(ledger.policy, prices=PriceList((PRICE,)))
    return ledger


@given(
    st.builds(Rates, DECIMALS, DECIMALS, DECIMALS, DECIMALS, DECIMALS),
    st.builds(Tokens, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
    st.integers(1, 10**7),
)
def test_a_cost_by_kind_is_what_fractions_say_rounded_up_once(
    rates: Rates, tokens: Tokens, unit: int
) -> None:
    price = Price("*", None, Decimal(1), unit, by_kind=rates)
    parts = [Fraction(getattr(rates, kind)) * getattr(tokens, kind) for kind in KINDS]

    assert price.cost(tokens.total, tokens) == ceil(sum(parts) / unit)


@given(DECIMALS, st.builds(Tokens, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS))
def test_equal_rates_of_all_kinds_cost_what_their_sum_costs(rate: Decimal, tokens: Tokens) -> None:
    price = Price("*", None, rate, 1000, by_kind=Rates(rate, rate, rate, rate, rate))

    assert price.cost(tokens.total, tokens) == price.cost(tokens.total)


@pytest.mark.parametrize(
    ("told", "rates"),
    [
        ("{input = 2}", "2 9 2 2 9"),
        ("{output = 8}", "9 8 9 9 8"),
        ("{input = 2, output = 8}", "2 8 2 2 8"),
        ("{cache_read = 1}", "9 9 1 9 9"),
        ("{input = 2, cache_read = 0, cache_write = 2.5, reasoning = 0.000000000001}", None),
    ],
)
def test_a_kind_without_a_rate_costs_what_it_is_a_part_of(told: str, rates: str | None) -> None:
    (price,) = read_prices(row(told)).prices

    expected = "2 9 0 2.5 0.000000000001" if rates is None else rates
    assert price.by_kind == Rates(*map(Decimal, expected.split()))


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("{}", "prices 1 by_kind: must have a rate of at least one of input, output"),
        ("{audio = 1}", "prices 1 by_kind audio"),
        ("{input = -1}", "prices 1 by_kind input"),
        ('{input = "1"}', "prices 1 by_kind input: must be a number"),
        ("{input = 0.0000000000001}", "prices 1 by_kind input"),
        ("5", "prices 1 by_kind"),
    ],
)
def test_rates_that_are_none_are_refused_by_their_place(told: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_prices(row(told))


def test_what_a_count_alone_costs_is_the_rate_of_others() -> None:
    charge = charge_of(priced().do(RecordUsage(USER, "chat", None, token_count=1000), NOON))

    assert (charge.credit_amount, charge.price, charge.tokens) == (9, PRICE, None)


def charges(tokens: Tokens | None) -> Ledger:
    ledger = priced()
    told: dict[str, Any] = {"token_count": 1750, "tokens": tokens}
    ledger.do(RecordUsage(USER, "chat", None, **told), NOON)
    ledger.do(SettleHold(USER, ledger.held(10, NOON), None, **told), NOON)
    return ledger


def test_an_entry_says_them_and_is_read_back() -> None:
    ledger = charges(TOKENS)
    begun = ledger_with(1000, 5).account

    documents = [entry_document(entry) for entry in ledger.entries]

    assert [read_entry(document) for document in documents] == ledger.entries
    assert sum('"tokens":{"input":1000' in document["body"] for document in documents) == 2
    assert replay(begun, [e for e in ledger.entries if e.seq > begun.seq]) == ledger.account


def test_an_entry_without_them_has_no_word_of_it() -> None:
    ledger = charges(None)
    plain = replace(ledger.policy, prices=PriceList((Price("*", None, Decimal(1), 1000),)))
    ledger.policy = plain
    ledger.do(RecordUsage(USER, "chat", None, token_count=7), NOON)
    ledger.do(RecordUsage(USER, "chat", Credits(1)), NOON)

    bodies = [entry_document(entry)["body"] for entry in ledger.entries]

    assert not any('"tokens"' in body for body in bodies)
    assert sum("by_kind" in body for body in bodies) == 2


@pytest.mark.parametrize(
    "command",
    [RecordUsage(USER, "chat", None, token_count=7), SettleHold(USER, "h", Credits(1))],
    ids=lambda command: type(command).__name__,
)
def test_what_a_process_of_before_has_sent_is_read(command: Any) -> None:
    state = [getattr(command, field.name) for field in fields(command) if field.name != "tokens"]

    read = object.__new__(type(command))
    read.__setstate__(state)

    assert fields(command)[-1].name == "tokens"
    assert read == command
    told = replace(command, tokens=TOKENS)
    assert pickle.loads(pickle.dumps(told)) == told


def test_the_page_tells_what_its_example_costs() -> None:
    (price,) = read_prices(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]).prices
    told = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
    ledger = ledger_with(1000, 5)
    ledger.policy = replace(ledger.policy, prices=PriceList((price,)))
    command = RecordUsageBody.model_validate(told).command()

    charge = charge_of(ledger.do(command, NOON))
    rates = price.by_kind
    assert rates is not None
    parts = [getattr(rates, kind) * n / 1_000_000 for kind, n in told["tokens"].items()]

    page = " ".join(PAGE.split())
    assert (
        f"This costs {charge.credit_amount} credits: {parts[0]} for the input, {parts[1]} for the"
        f" output, {parts[2]} for what was read from the cache and {parts[3]} for the reasoning are"
        f" {sum(parts)}, rounded up once."
    ) in page
    assert f"`token_count` becomes {charge.token_count:,}" in page
    assert f"the same work costs {price.cost(charge.token_count or 0)}." in page


def test_the_kinds_are_named_in_one_order_everywhere() -> None:
    assert tuple(counts_of(TOKENS)) == KINDS
    assert tuple(field.name for field in fields(Rates)) == KINDS
