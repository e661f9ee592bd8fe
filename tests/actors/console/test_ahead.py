"""What the next days give: what the service gives on those days."""

from datetime import timedelta
from typing import Any

from actors.console.ahead import DayAhead, days_ahead, grant_of
from domain.api.list_answers import subscription_record
from domain.grants import Grant
from tests.builders.authors import NOON, Author
from tests.fakes.browser import Browser
from tests.fakes.http_service import EXAMPLES, HttpService

ONE_DAY = timedelta(days=1)


def test_each_day_gives_what_the_service_gives_then() -> None:
    author = Author("ada")
    author.add(amount=1000, days=5)
    (subscription,) = author.account.subscriptions
    record = subscription_record("ada", subscription, None, NOON).model_dump(mode="json")

    ahead = days_ahead([record], [], "UTC", NOON, 7)

    days = [(NOON + ONE_DAY * number).date() for number in range(1, 8)]
    assert [one.date for one in ahead] == [str(day) for day in days]
    assert [one.gives for one in ahead] == [subscription.limit(day) for day in days]
    assert [one.gives > 0 for one in ahead] == [True] * 4 + [False] * 3


def test_a_grant_of_which_a_part_was_taken_back_gives_at_most_what_it_did() -> None:
    grant: dict[str, Any] = EXAMPLES["UserSubscriptions"]["subscriptions"][0]["grants"][0]
    row = grant | {"amount": 2000, "voided_credits": 1000}
    one = EXAMPLES["UserSubscriptions"]["subscriptions"][0] | {"grants": [row]}

    assert isinstance(grant_of(row), Grant)
    assert days_ahead([one], [], "UTC", NOON, 1) == [DayAhead("2026-03-11", 90, True, 0)]


def test_a_paused_subscription_gives_nothing_and_packs_lapse_on_their_day() -> None:
    one = EXAMPLES["UserSubscriptions"]["subscriptions"][0] | {"status": "paused"}
    pack = EXAMPLES["UserSubscriptions"]["packs"][0] | {"expires_at": "2026-03-12T05:00:00Z"}

    berlin = days_ahead([one], [pack], "Europe/Berlin", NOON, 2)
    denver = days_ahead([one], [pack], "America/Denver", NOON, 2)

    assert [day.lapses for day in berlin] == [0, 1000]
    assert [day.lapses for day in denver] == [1000, 0]
    assert {day.gives for day in [*berlin, *denver]} == {0}


def test_the_page_of_a_user_shows_them(operator: Browser, service: HttpService) -> None:
    page = operator.get("/user?id=ada").text

    assert "What the next days give" in page
    assert '<th class="number">03-11</th>' in page
    assert page.count('<td class="number">90</td>') >= 7
