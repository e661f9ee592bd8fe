"""The lists: what they show, how they go on, and what leaves as CSV."""

import csv
import io
from typing import Any

import pytest

from actors.console.pages.lists import COLUMNS, csv_of
from tests.fakes.browser import Browser
from tests.fakes.http_service import EXAMPLES, HttpService

PAGES = ["/subscriptions", "/events", "/sweeps", "/shards"]


@pytest.mark.parametrize("path", PAGES)
def test_every_list_is_shown_and_in_the_navigation(operator: Browser, path: str) -> None:
    page = operator.get(path)

    assert page.status_code == 200
    assert f'<a href="{path}" aria-current="page">' in page.text
    assert "<table>" in page.text


def test_lists_of_nothing_say_so(operator: Browser, service: HttpService) -> None:
    nothing: dict[str, Any] = {"endpoints": [], "undelivered": [], "dead": [], "stripe": []}
    service.answers |= {
        ("GET", "/subscriptions"): {"items": [], "next_cursor": None},
        ("GET", "/admin/events"): EXAMPLES["EventsReport"] | nothing,
        ("GET", "/admin/sweeps"): [],
    }

    for path in PAGES[:3]:
        page = operator.get(path)
        assert page.status_code == 200
        assert 'class="empty"' in page.text
        assert "<table>" not in page.text


def test_a_list_goes_on_where_it_ended_with_its_filter(
    operator: Browser, service: HttpService
) -> None:
    page = EXAMPLES["SubscriptionPage"] | {"next_cursor": "after&this"}
    service.answers["GET", "/subscriptions"] = page

    shown = operator.get("/subscriptions?status=active").text

    assert 'href="/subscriptions?status=active&amp;cursor=after%26this"' in shown
    assert service.asked[-1].params == {"status": "active", "limit": "50"}


def test_a_dead_letter_is_delivered_again(operator: Browser, service: HttpService) -> None:
    path = "/admin/events/evt%2F1/redeliver"
    service.answers["POST", path] = {"id": "evt/1", "endpoints": ["crm"]}

    page = operator.get("/events")
    token = page.text.partition('name="form_token" value="')[2].partition('"')[0]
    answer = operator.send("/events/redeliver", {"form_token": token, "id": "evt/1"})

    assert answer.headers["location"] == "/events"
    assert [one.path for one in service.writes] == [path]
    assert "delivered again to crm" in operator.get("/events").text


@pytest.mark.parametrize("name", COLUMNS)
def test_every_list_is_there_as_csv(operator: Browser, name: str) -> None:
    answer = operator.get(f"/csv/{name}")

    assert answer.headers["content-type"].startswith("text/csv")
    assert f'filename="{name}.csv"' in answer.headers["content-disposition"]
    assert next(csv.reader(io.StringIO(answer.text))) == list(COLUMNS[name])


def test_no_cell_is_a_formula_and_numbers_stay_numbers() -> None:
    cells = ["=1+1", "+1", "-1", "@x", "\tx", "plain", -5]

    text = csv_of(["a"], [{"a": cell} for cell in cells])

    assert [row[0] for row in csv.reader(io.StringIO(text))][1:] == [
        *("'=1+1", "'+1", "'-1", "'@x", "'\tx", "plain", "-5"),
    ]


@pytest.mark.parametrize("path", ["/csv/users", "/subscriptions?status=happy"])
def test_a_list_that_is_not_there_is_said(operator: Browser, path: str) -> None:
    assert operator.get(path).status_code == 404
