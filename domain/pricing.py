"""What tokens cost: the price list, which of its prices applies, and what that comes to.

A list is TOML. Its numbers are read as they are written, and a cost is rounded up once, at its end.
"""

import fnmatch
import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil
from operator import not_
from typing import Annotated, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from domain.usage_facts import KINDS, Tokens

PRICES_MAX = 1_000  # Every charge by tokens looks through them.
PATTERN_LENGTH_MAX = 256
UNIT_SIZE_MAX = 2**53 - 1
ERRORS_MAX = 5  # Faults of a list that are named.


@dataclass(frozen=True, slots=True)
class Rates:
    """What a unit of each kind of tokens costs."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    reasoning: Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """What a unit of tokens costs where the patterns fit. It is kept with every charge it made."""

    service: str
    """A pattern as a shell's: `*`, `?`, `[abc]`."""
    model: str | None
    """A pattern, too; None: any model, and none."""
    credits_per_unit: Decimal
    unit_size: int
    """In tokens."""
    effective_from: datetime | None = None
    effective_until: datetime | None = None
    """Exclusive."""
    by_kind: Annotated[Rates | None, Field(exclude_if=not_)] = None
    """Of tokens that are told by kind; `credits_per_unit` is that of others."""

    def applies(self, service: str, model: str | None, at: datetime) -> bool:
        """Say whether it is the price of a service and model at an instant."""
        if self.effective_from is not None and at < self.effective_from:
            return False
        if self.effective_until is not None and at >= self.effective_until:
            return False
        return self.fits_model(model) and _fits(self.service, service)

    def fits_model(self, model: str | None) -> bool:
        """Say whether its pattern fits a model."""
        return self.model is None or (model is not None and _fits(self.model, model))

    def cost(self, count: int, tokens: Tokens | None = None) -> int:
        """Return what so many tokens cost, rounded up to a whole credit; by kind if it can be."""
        if tokens is None or self.by_kind is None:
            credits_, parts = self.credits_per_unit.as_integer_ratio()
            return -(-count * credits_ // (parts * self.unit_size))
        rates = self.by_kind
        cost = Fraction(rates.input) * tokens.input + Fraction(rates.output) * tokens.output
        cost += Fraction(rates.cache_read) * tokens.cache_read
        cost += Fraction(rates.cache_write) * tokens.cache_write
        cost += Fraction(rates.reasoning) * tokens.reasoning
        return ceil(cost / self.unit_size)


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices in the order in which they are tried: the first that applies is the price."""

    prices: tuple[Price, ...] = ()

    def find(self, service: str, model: str | None, at: datetime) -> Price | None:
        """Return the price of a service and model at an instant; None: there is none."""
        return next((p for p in self.prices if p.applies(service, model, at)), None)


NO_PRICES = PriceList()


@lru_cache(maxsize=2 * PRICES_MAX)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text))


def _fits(pattern: str, text: str) -> bool:
    return _pattern(pattern).match(text) is not None


# --- the file -----------------------------------------------------------------------------


def _instant(value: object) -> object:
    """Take a date for its first instant in UTC. What TOML cannot mean otherwise is refused."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time.min, UTC)
    if not isinstance(value, datetime):
        raise ValueError("must be a date (2026-01-31), or a time with a zone")  # noqa: TRY004 - pydantic's
    return value


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic's
    return value


_Pattern = Annotated[str, StringConstraints(min_length=1, max_length=PATTERN_LENGTH_MAX)]
_Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
_Rate = Annotated[Decimal, Field(ge=0, max_digits=24, decimal_places=12), BeforeValidator(_number)]


class _RatesRow(BaseModel):
    """`by_kind` of a price. What is left out costs what it is a part of."""

    model_config = ConfigDict(extra="forbid")

    input: _Rate | None = None
    output: _Rate | None = None
    cache_read: _Rate | None = None
    cache_write: _Rate | None = None
    reasoning: _Rate | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"must have a rate of at least one of {', '.join(KINDS)}")
        return self

    def rates(self, other: Decimal) -> Rates:
        given = other if self.input is None else self.input
        made = other if self.output is None else self.output
        return Rates(
            given,
            made,
            given if self.cache_read is None else self.cache_read,
            given if self.cache_write is None else self.cache_write,
            made if self.reasoning is None else self.reasoning,
        )


class _PriceRow(BaseModel):
    """One table `[[prices]]` of the file."""

    model_config = ConfigDict(extra="forbid")

    service: _Pattern = "*"
    model: _Pattern | None = None
    credits_per_unit: _Rate
    by_kind: _RatesRow | None = None
    unit_size: Annotated[StrictInt, Field(ge=1, le=UNIT_SIZE_MAX)]
    effective_from: _Instant | None = None
    effective_until: _Instant | None = None

    @model_validator(mode="after")
    def _is_in_effect_at_some_time(self) -> Self:
        begins, ends = self.effective_from, self.effective_until
        if begins is not None and ends is not None and ends <= begins:
            raise ValueError("effective_until is not after effective_from")
        return self

    def price(self) -> Price:
        begins, ends = self.effective_from, self.effective_until
        return Price(
            self.service,
            self.model,
            self.credits_per_unit,
            self.unit_size,
            begins and begins.astimezone(UTC),
            ends and ends.astimezone(UTC),
            None if self.by_kind is None else self.by_kind.rates(self.credits_per_unit),
        )


class _PriceFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prices: Annotated[list[_PriceRow], Field(min_length=1, max_length=PRICES_MAX)]


def read_prices(text: str) -> PriceList:
    """Return the list that a text spells. Raises ValueError with what is wrong, for an operator."""
    try:
        file = _PriceFile.model_validate(tomllib.loads(text, parse_float=Decimal))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"it is not TOML: {error}") from None
    except ValidationError as error:
        raise ValueError(_explain(error)) from None
    return PriceList(tuple(row.price() for row in file.prices))


def _explain(error: ValidationError) -> str:
    """Return what is wrong, the first faults by their places: `prices 2 unit_size`, from 1."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    places = (" ".join(str(p + 1) if isinstance(p, int) else p for p in f["loc"]) for f in found)
    reasons = (f["msg"].removeprefix("Value error, ") for f in found)
    told = [f"{place}: {why}" for place, why in zip(places, reasons, strict=True)]
    return "; ".join(told[:ERRORS_MAX])
