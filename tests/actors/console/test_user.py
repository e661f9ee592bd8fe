"""A user's page, and changing something about a user: shown before it is done, and done once."""

from typing import Any

import httpx
import pytest

from actors.console.charts import bar_of, columns_of
from tests.builders.authors import NOON
from tests.fakes.browser import Browser
from tests.fakes.http_service import ADMIN_KEY, EXAMPLES, HttpService

USAGE_ID = EXAMPLES["UsagePage"]["items"][0]["usage_id"]
HOLD_ID = EXAMPLES["OpenHolds"]["holds"][0]["hold_id"]
SUBSCRIPTION_ID = EXAMPLES["UserSubscriptions"]["subscriptions"][0]["subscription_id"]
PACK_ID = EXAMPLES["UserSubscriptions"]["packs"][0]["pack_id"]
ADJUSTMENT: dict[str, Any] = {"user_id": "ada", "reason": "an outage"}
CHANGES: dict[str, tuple[str, dict[str, str], str, str, dict[str, Any] | None, str]] = {
    "give": (
        "adjust?id=ada",
        {"how": "give", "amount": "25", "reason": "an outage"},
        "POST",
        "/subscription/adjustments",
        ADJUSTMENT | {"credit_amount": 25},
        "1\u202f085",
    ),
    "take": (
        "adjust?id=ada",
        {"how": "take", "amount": "60", "reason": "an outage", "allow_debt": "1"},
        "POST",
        "/subscription/adjustments",
        ADJUSTMENT | {"credit_amount": -60, "allow_debt": True},
        "1\u202f000",
    ),
    "set": (
        "adjust?id=ada",
        {"how": "set", "amount": "0", "reason": "an outage"},
        "POST",
        "/subscription/adjustments",
        ADJUSTMENT | {"remaining_credits": 0},
        "<b>0</b>",
    ),
    "reverse": (
        f"reverse?id=ada&usage={USAGE_ID}&at=2026-03-10T12:00:01Z",
        {"amount": "10", "reason": "twice"},
        "POST",
        f"/subscription/usage/{USAGE_ID}/reversals",
        {"credit_amount": 10, "reason": "twice"},
        "<b>20</b>",
    ),
    "release": (
        f"release?id=ada&hold={HOLD_ID}",
        {"reason": "the job hangs"},
        "DELETE",
        f"/subscription/holds/{HOLD_ID}",
        {"reason": "the job hangs"},
        "up to 1\u202f100",
    ),
    "change": (
        f"change?id=ada&subscription={SUBSCRIPTION_ID}",
        {"status": "paused", "end": "2026-05-01", "timezone": "UTC", "reason": "asked for it"},
        "PATCH",
        f"/subscriptions/{SUBSCRIPTION_ID}",
        {"status": "paused", "end_date": "2026-05-01T00:00:00Z", "reason": "asked for it"},
        "<b>2026-05-01</b>",
    ),
}


def test_the_page_tells_all_of_a_user(operator: Browser) -> None:
    page = operator.get("/user?id=ada").text

    decided = EXAMPLES["HistoryPage"]["items"][0]
    told = (decided["kind"].replace("_", " "), decided["by"])
    for shown in (PACK_ID, HOLD_ID, "small-2", "1\u202f060", *told):
        assert shown in page


def test_the_page_tells_what_credits_went_to_in_the_last_thirty_days(
    operator: Browser, service: HttpService
) -> None:
    sums = EXAMPLES["RecentUsage"]["by_service"]["chat"]
    service.answers["GET", "/subscription/usage/recent"] = EXAMPLES["RecentUsage"] | {
        "by_service": {
            "chat": sums | {"credit_amount": 12},
            "search": sums | {"credit_amount": 34},
        },
        "by_day": {"2026-03-10": sums | {"credit_amount": 46}},
    }

    page = operator.get("/user?id=ada").text

    (asked,) = (one for one in service.asked if one.path == "/subscription/usage/recent")
    assert asked.params == {"user_id": "ada", "days": "30"}
    assert "<title>2026-03-10: 46</title>" in page
    assert page.index(">search<") < page.index(">chat<"), "the most credits come first"


def test_a_user_nobody_knows_has_a_page_without_rows(
    operator: Browser, service: HttpService
) -> None:
    empty: dict[str, Any] = {"items": [], "next_cursor": None}
    nothing = {"subscription_id": None, "status": "none", "start_date": None, "end_date": None}
    recent = {"last_day": "2026-03-10", "by_service": {}, "by_model": {}, "by_day": {}}
    service.answers |= {
        ("GET", "/subscription/status"): EXAMPLES["CreditStatusResponse"] | nothing,
        ("GET", "/subscriptions/a%2Fb%3F"): {"subscriptions": [], "packs": []},
        ("GET", "/subscription/holds"): {"holds": []},
        ("GET", "/subscription/usage"): empty,
        ("GET", "/subscription/usage/recent"): recent,
        ("GET", "/subscriptions/a%2Fb%3F/history"): empty,
    }

    page = operator.get("/user?id=a%2Fb%3F")

    assert page.status_code == 200
    for told in ("No packs.", "Nothing is held.", "No records.", "No subscription."):
        assert told in page.text


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_shown_before_it_is_done_and_done_under_one_key(
    operator: Browser, service: HttpService, name: str
) -> None:
    address, fields, method, path, body, shown = CHANGES[name]
    service.answers[method, path] = {}

    form = operator.get(f"/user/{address}")
    action = f"/user/{address.partition('?')[0]}"
    plan = operator.submit(form, action, **fields)

    assert shown in plan.text
    assert service.writes == [], "nothing is done yet"

    done = [operator.submit(plan, action) for _ in range(2)]

    assert {one.headers["location"] for one in done} == {"/user?id=ada"}
    first, second = service.writes
    assert (first.method, first.path, first.body, first.key) == (method, path, body, ADMIN_KEY)
    assert first.idempotency_key
    assert first == second, "a repeat is the same request, under the same key"
    assert 'role="status"' in operator.get("/user?id=ada").text


@pytest.mark.parametrize(
    ("more", "sent", "shown"),
    [
        ({"days": "30"}, {"kind": "daily", "days": 30}, "about 180"),
        (
            {"kind": "pack", "expires": "2027-01-01"},
            {"kind": "pack", "expires_at": "2027-01-01T00:00:00Z"},
            "about 3\u202f700",
        ),
    ],
)
def test_credits_are_added_with_the_reason_as_their_transaction(
    operator: Browser, service: HttpService, more: dict[str, str], sent: dict[str, Any], shown: str
) -> None:
    service.answers["POST", "/subscription/credits"] = {}
    fields = {"amount": "3000", "reason": "first month"} | more

    plan = operator.submit(operator.get("/user/add?id=ada"), "/user/add", **fields)
    operator.submit(plan, "/user/add")

    (write,) = service.writes
    payment = write.body.pop("payment")
    assert shown in plan.text
    assert write.body == {"user_id": "ada", "amount": 3000} | sent
    assert payment["transaction_id"].startswith("first month (")


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("adjust?id=ada", {"how": "give", "amount": "1.5", "reason": "x"}),
        ("adjust?id=ada", {"how": "give", "amount": "5", "reason": ""}),
        ("adjust?id=ada", {"how": "give", "amount": "5", "reason": "a\nb"}),
        ("add?id=ada", {"kind": "daily", "amount": "5", "days": "0", "reason": "x"}),
        ("add?id=ada", {"kind": "pack", "amount": "5", "expires": "soon", "reason": "x"}),
        (CHANGES["reverse"][0], {"amount": "31", "reason": "x"}),
        (CHANGES["release"][0], {"reason": ""}),
        (CHANGES["change"][0], {"reason": "x", "status": "active"}),
    ],
)
def test_a_form_that_cannot_be_read_comes_back_with_a_sentence(
    operator: Browser, service: HttpService, action: str, fields: dict[str, str]
) -> None:
    form = operator.get(f"/user/{action}")
    answer = operator.submit(form, f"/user/{action.partition('?')[0]}", **fields)

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert service.writes == []


def test_what_the_service_refuses_is_told_beside_the_form(
    operator: Browser, service: HttpService
) -> None:
    refusal = {"status": 402, "code": "insufficient_credits", "title": "Not enough credits"}
    service.answers["POST", "/subscription/adjustments"] = httpx.Response(402, json=refusal)
    fields = {"how": "take", "amount": "9000", "reason": "x"}

    plan = operator.submit(operator.get("/user/adjust?id=ada"), "/user/adjust", **fields)
    answer = operator.submit(plan, "/user/adjust")

    assert "Not enough credits" in answer.text
    assert 'value="9000"' in answer.text


@pytest.mark.parametrize("path", ["/user/forget?id=ada", "/user/release?id=ada&hold=gone", "/x"])
def test_what_is_not_there_is_said(operator: Browser, path: str) -> None:
    assert operator.get(path).status_code == 404


def test_the_parts_of_a_bar_fill_it_and_small_ones_can_be_seen() -> None:
    bar = bar_of({"used": 1, "held": 0, "left": 100_000})

    assert [part.name for part in bar] == ["used", "left"]
    assert bar[0].width > 0.5
    assert bar[-1].begins + bar[-1].width == pytest.approx(100, abs=0.01)
    assert bar_of({"used": 0}) == []


def test_a_chart_has_a_column_for_each_day_with_use_or_without() -> None:
    columns = columns_of({"2026-03-09": {"credit_amount": 40}}, NOON.date(), 3)

    assert [(one.date, one.amount, one.height) for one in columns] == [
        ("2026-03-08", 0, 0.0),
        ("2026-03-09", 40, 100.0),
        ("2026-03-10", 0, 0.0),
    ]
