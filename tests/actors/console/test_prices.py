"""What a charge would cost: what the service would charge."""

import pytest

from actors.console.changes import WrongFieldError
from actors.console.quotes import Quote, quote
from domain.api.price_answers import price_list_record
from domain.pricing import read_prices
from tests.builders.authors import NOON
from tests.fakes.browser import Browser
from tests.fakes.http_service import HttpService

LIST = """
[[prices]]
model = "large-*"
credits_per_unit = 1500
unit_size = 1_000_000
by_kind = { input = 300, output = 1500, cache_read = 30, cache_write = 375 }

[[prices]]
service = "later"
credits_per_unit = 1
unit_size = 1
effective_from = 2026-04-01

[[prices]]
service = "render-*"
credits_per_unit = 0.25
unit_size = 60
"""
ROWS = price_list_record(read_prices(LIST)).model_dump(mode="json")["prices"]
BY_KIND = {"input": "2000", "output": "800", "cache_read": "90 000", "reasoning": "1200"}


@pytest.mark.parametrize(
    ("form", "quoted"),
    [
        ({"service": "chat", "model": "large-8", **BY_KIND}, Quote(7, 1, 94_000, by_kind=True)),
        (
            {"service": "chat", "model": "large-8", "count": "94000"},
            Quote(141, 1, 94_000, by_kind=False),
        ),
        ({"service": "render-4k", "count": "241"}, Quote(2, 3, 241, by_kind=False)),
        ({"service": "render-4k", "count": "0"}, Quote(0, 3, 0, by_kind=False)),
        ({"service": "render-4k", **BY_KIND}, Quote(392, 3, 94_000, by_kind=False)),
        ({"service": "later", "count": "5"}, Quote(None, None, 5, by_kind=False)),
    ],
)
def test_a_quote_is_what_the_service_would_charge(form: dict[str, str], quoted: Quote) -> None:
    assert quote(ROWS, form, NOON) == quoted


@pytest.mark.parametrize(
    "form", [{"service": "x"}, {"count": "5"}, {"service": "x", "count": "many"}]
)
def test_what_cannot_be_counted_is_said(form: dict[str, str]) -> None:
    with pytest.raises(WrongFieldError):
        quote(ROWS, form, NOON)


def test_the_page_says_the_cost_and_which_price_it_is(
    operator: Browser, service: HttpService
) -> None:
    service.answers["GET", "/admin/prices"] = {"prices": ROWS}

    counted = operator.get("/prices?service=render-4k&count=241").text
    refused = operator.get("/prices?service=later&count=5").text
    wrong = operator.get("/prices?service=later")

    assert "<b>2 credits</b> now, by price 3" in counted
    assert counted.count('class="chosen"') == 1
    assert "No price fits now" in refused
    assert wrong.status_code == 422
