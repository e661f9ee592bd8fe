"""What operators are told of the price list in force."""

from domain.api.answers import Answer
from domain.api.usage_answers import KindRates, PriceRecord
from domain.pricing import Price, PriceList


class PriceListRecord(Answer):
    """The prices in force, in the order in which they are tried: the first that fits decides."""

    prices: list[PriceRecord]


def price_list_record(prices: PriceList) -> PriceListRecord:
    """Return a list as it is shown."""
    return PriceListRecord(prices=list(map(_price_record, prices.prices)))


def _price_record(price: Price) -> PriceRecord:
    rates = price.by_kind
    return PriceRecord(
        service=price.service,
        model=price.model,
        credits_per_unit=f"{price.credits_per_unit:f}",
        unit_size=price.unit_size,
        effective_from=price.effective_from,
        effective_until=price.effective_until,
        by_kind=None
        if rates is None
        else KindRates(
            input=f"{rates.input:f}",
            output=f"{rates.output:f}",
            cache_read=f"{rates.cache_read:f}",
            cache_write=f"{rates.cache_write:f}",
            reasoning=f"{rates.reasoning:f}",
        ),
    )
