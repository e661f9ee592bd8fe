"""LiteLLM's public price map, read as prices of ours: what a model costs in dollars, in credits.

The map (`model_prices_and_context_window.json`) is an object: a model's name, then what a token of
each kind costs in dollars. Numbers are read as they are written, never as binary fractions.
"""

import fnmatch
import glob
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from domain.pricing import PATTERN_LENGTH_MAX
from domain.usage_facts import KINDS

UNIT_SIZE = 1_000_000
DECIMAL_PLACES = 12  # Of a rate; what has more is rounded up.
DOLLARS_MAX = 1  # A token that costs more is an error of the map.
PRICED_BY_TOKENS = (None, "chat", "completion", "responses", "embedding")
"""Modes whose calls cost what their tokens cost. Images, sound and searches cost otherwise."""
COSTS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "reasoning": "output_cost_per_reasoning_token",
}
assert tuple(COSTS) == KINDS, "every kind of tokens has its field"


class Rate(NamedTuple):
    """How dollars become credits."""

    markup: Decimal
    """What a customer pays for a dollar of cost, in dollars."""
    credit_worth: Decimal
    """In dollars."""

    def credits_per_unit(self, dollars: Decimal) -> Decimal:
        """Return what a unit of tokens costs in credits where one of them costs so many dollars."""
        exact = Fraction(dollars) * UNIT_SIZE * Fraction(self.markup) / Fraction(self.credit_worth)
        # Decimal text: arithmetic of decimals would round to the digits of its context.
        return Decimal(f"{ceil(exact * 10**DECIMAL_PLACES)}E-{DECIMAL_PLACES}")


class ImportedPrice(NamedTuple):
    """What one model costs."""

    model: str
    rates: Mapping[str, Decimal]
    """Credits a unit, of the kinds that the map tells."""
    is_dearer_when_long: bool
    """The map has a higher price of long contexts, which a price of ours cannot say."""

    @property
    def of_others(self) -> Decimal:
        """What tokens cost whose kind is not told: as the dearest, so that none costs too little."""
        return max(self.rates.values())

    def toml(self) -> str:
        """Return it as a table of a price list."""
        kinds = ", ".join(f"{kind} = {spelled(rate)}" for kind, rate in self.rates.items())
        return (
            "[[prices]]\n"
            f"model = {json.dumps(glob.escape(self.model), ensure_ascii=False)}\n"
            f"credits_per_unit = {spelled(self.of_others)}\n"
            f"unit_size = {UNIT_SIZE:_}\n"
            f"by_kind = {{ {kinds} }}\n"
        )


def spelled(rate: Decimal) -> str:
    """Return a rate as a list has it: all its digits, and no zeros after them."""
    text = f"{rate:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def read_map(text: str) -> dict[str, Any]:
    """Return the map that a text spells. Raises ValueError with what is wrong, for an operator."""
    try:
        found = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("it is no object of models")  # noqa: TRY004 - an operator's sentence
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def imported(
    found: Mapping[str, Any], rate: Rate, patterns: Sequence[str] = ()
) -> list[ImportedPrice]:
    """Return the prices of the models whose names fit one of the patterns; of none: of all.

    Models that cost nothing by the map are left out: it says so of those whose price it does not know.
    """
    return [
        price
        for model, told in sorted(found.items())
        if not patterns or any(fnmatch.fnmatchcase(model, pattern) for pattern in patterns)
        if (price := _price(model, told, rate)) is not None
    ]


def _price(model: str, told: Any, rate: Rate) -> ImportedPrice | None:
    if not isinstance(told, dict) or told.get("mode") not in PRICED_BY_TOKENS:
        return None
    if not (model.isprintable() and 0 < len(glob.escape(model)) <= PATTERN_LENGTH_MAX):
        return None
    dollars = {kind: told[name] for kind, name in COSTS.items() if told.get(name) is not None}
    if not all(isinstance(d, Decimal) and 0 <= d <= DOLLARS_MAX for d in dollars.values()):
        return None
    if not any(dollars.get(kind) for kind in ("input", "output")):
        return None
    rates = {kind: rate.credits_per_unit(cost) for kind, cost in dollars.items()}
    long = any("_above_" in name and name.endswith("_tokens") and told[name] for name in told)
    return ImportedPrice(model, rates, long)
