"""The lists: what they show, how they go on, and what leaves as CSV."""

import csv
import io
from typing import Any

import pytest

from actors.console.pages import csv_lists
from actors.console.pages.csv_lists import LISTS, csv_of
from actors.events.reports import DeadReport
from tests.builders.examples import example
from tests.fakes.browser import Browser
from tests.fakes.http_service import EXAMPLES, HttpService

PAGES = [
    "/subscriptions",
    "/events",
    "/endpoints",
    "/sweeps",
    "/shards",
    "/refusals",
    "/prices",
    "/keys",
    "/audit",
]


@pytest.mark.parametrize("path", PAGES)
def test_every_list_is_shown_and_in_the_navigation(operator: Browser, path: str) -> None:
    page = operator.get(path)

    assert page.status_code == 200
    assert f'<a href="{path}" aria-current="page">' in page.text
    assert "<table>" in page.text


def rows_of(service: HttpService, name: str) -> list[dict[str, Any]]:
    """Return the rows of what was asked for last."""
    answer = service.answers["GET", service.asked[-1].path]
    found: list[dict[str, Any]] = answer[LISTS[name].part] if LISTS[name].part else answer
    return found


def test_lists_of_nothing_say_so(operator: Browser, service: HttpService) -> None:
    nothing: dict[str, Any] = {"endpoints": [], "undelivered": [], "dead": [], "stripe": []}
    service.answers |= {
        ("GET", "/subscriptions"): {"items": [], "next_cursor": None},
        ("GET", "/admin/events"): EXAMPLES["EventsReport"] | nothing,
        ("GET", "/admin/endpoints"): [],
        ("GET", "/admin/sweeps"): [],
        ("GET", "/admin/refusals"): {"items": [], "next_cursor": None},
        ("GET", "/admin/prices"): {"prices": []},
        ("GET", "/admin/keys"): {"items": [], "next_cursor": None},
        ("GET", "/admin/audit"): {"items": [], "next_cursor": None},
    }

    for path in (path for path in PAGES if path != "/shards"):
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


@pytest.mark.parametrize("order", ["least", "most"])
def test_users_are_shown_by_what_they_have_left(
    operator: Browser, service: HttpService, order: str
) -> None:
    page = operator.get(f"/subscriptions/left?order={order}").text

    assert service.asked[-1].params == {"order": order, "limit": "50"}
    assert '<a href="/user?id=ada">ada</a>' in page
    assert f'href="/subscriptions/left?order={order}" aria-current="page"' in page
    assert '<a href="/subscriptions" aria-current="page">Users' in page
    assert "the look goes on" not in page


def test_a_look_that_is_not_whole_says_so(operator: Browser, service: HttpService) -> None:
    ranked = EXAMPLES["RankedUsers"] | {"users": 200_000, "looked_at": 31_000, "items": []}
    service.answers["GET", "/admin/users"] = ranked

    page = operator.get("/subscriptions/left").text

    assert "31\u202f000 of 200\u202f000 users were looked at until now" in page
    assert 'class="empty"' in page


def test_a_change_of_the_number_of_shards_is_followed_by_the_page_itself(
    operator: Browser, service: HttpService
) -> None:
    assert 'data-live="/live/reshard"' in operator.get("/shards").text
    report = EXAMPLES["ReshardReport"] | {"running": True, "moved": 17, "slots": 2048}
    service.answers["GET", "/admin/reshard"] = report

    part = operator.get("/live/reshard").text

    assert "17 of 2\u202f048 slots are moved" in part
    assert "<html" not in part


def test_a_dead_letter_is_delivered_again(operator: Browser, service: HttpService) -> None:
    path = "/admin/events/evt%2F1/redeliver"
    service.answers["POST", path] = {"id": "evt/1", "endpoints": ["crm"]}

    page = operator.get("/events")
    token = page.text.partition('name="form_token" value="')[2].partition('"')[0]
    answer = operator.send("/events/redeliver", {"form_token": token, "id": "evt/1"})

    assert answer.headers["location"] == "/events"
    assert [one.path for one in service.writes] == [path]
    assert "delivered again to crm" in operator.get("/events").text


@pytest.mark.parametrize("name", LISTS)
def test_every_list_is_there_as_csv(operator: Browser, service: HttpService, name: str) -> None:
    answer = operator.get(f"/csv/{name}?id=ada")

    assert answer.headers["content-type"].startswith("text/csv")
    assert f'filename="{name}.csv"' in answer.headers["content-disposition"]
    first, *rows = csv.reader(io.StringIO(answer.text))
    assert first == list(LISTS[name].columns)
    assert len(rows) == len(rows_of(service, name))


@pytest.mark.parametrize("name", LISTS)
def test_every_column_of_a_csv_is_a_field_of_the_interface(
    operator: Browser, service: HttpService, name: str
) -> None:
    operator.get(f"/csv/{name}?id=ada")

    rows = rows_of(service, name) or [example(DeadReport)]
    assert set(LISTS[name].columns) - {"tokens", "by_kind"} <= rows[0].keys()


def test_a_csv_has_all_pages_of_a_list_with_its_filter(
    operator: Browser, service: HttpService
) -> None:
    pages = iter([EXAMPLES["ActPage"] | {"next_cursor": "b"}, EXAMPLES["ActPage"]])
    service.answers["GET", "/admin/audit"] = lambda: next(pages)

    rows = list(csv.reader(io.StringIO(operator.get("/csv/audit?by=key:5f0c91ab").text)))

    assert len(rows) == 3
    assert service.asked[-1].params == {"by": "key:5f0c91ab", "cursor": "b", "limit": "1000"}


def test_a_csv_ends_with_the_page_that_has_enough(
    operator: Browser, service: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = EXAMPLES["ActPage"] | {"next_cursor": "b"}
    service.answers["GET", "/admin/audit"] = lambda: page
    monkeypatch.setattr(csv_lists, "ROWS_MAX", 3 * len(page["items"]))

    _, *rows = csv.reader(io.StringIO(operator.get("/csv/audit").text))

    assert len(rows) == 3 * len(page["items"])


def test_no_cell_is_a_formula_and_numbers_stay_numbers() -> None:
    cells = ["=1+1", "+1", "-1", "@x", "\tx", "plain", -5]

    text = csv_of(["a"], [{"a": cell} for cell in cells])

    assert [row[0] for row in csv.reader(io.StringIO(text))][1:] == [
        *("'=1+1", "'+1", "'-1", "'@x", "'\tx", "plain", "-5"),
    ]


@pytest.mark.parametrize(
    "path", ["/csv/users", "/subscriptions?status=happy", "/subscriptions/left?order=age"]
)
def test_a_list_that_is_not_there_is_said(operator: Browser, path: str) -> None:
    assert operator.get(path).status_code == 404
