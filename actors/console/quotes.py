"""What a charge would cost by the price list in force: the domain's own sums over what HTTP shows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from actors.console.changes import Form, WrongFieldError, whole
from domain.pricing import Price, PriceList
from domain.usage_facts import KINDS, Tokens

PRICES: TypeAdapter[tuple[Price, ...]] = TypeAdapter(tuple[Price, ...])


class Quote(NamedTuple):
    """What a charge would cost now."""

    cost: int | None
    """None: no price applies, so the charge would be refused."""
    place: int | None
    """Which price of the list it is, from 1 on."""
    units: int
    by_kind: bool
    """The price has rates by kind, and the tokens were told so."""


def quote(rows: Sequence[Mapping[str, Any]], form: Form, now: datetime) -> Quote:
    """Return what a charge would cost at an instant. WrongFieldError: the form cannot be read."""
    service, model = form.get("service", ""), form.get("model") or None
    if not service:
        raise WrongFieldError("Name the service that is charged for.")
    told = {kind: whole(form, kind, 0) for kind in KINDS if form.get(kind)}
    if not told and not form.get("count"):
        raise WrongFieldError("Say how many units, or tokens by kind.")
    tokens = Tokens(**told) if told else None
    count = tokens.total if tokens and not form.get("count") else whole(form, "count", 0)
    prices = PRICES.validate_python(rows)
    price = PriceList(prices).find(service, model, now)
    if price is None:
        return Quote(None, None, count, by_kind=False)
    place = next(index for index, one in enumerate(prices, 1) if one is price)
    by_kind = tokens is not None and price.by_kind is not None
    return Quote(price.cost(count, tokens), place, count, by_kind)
