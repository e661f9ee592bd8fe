"""What the overview tells of a service: in numbers, in words, and where parts of it are away."""

import httpx
import pytest

from actors.console.rates import Rates
from tests.fakes.browser import Browser, Time
from tests.fakes.http_service import EXAMPLES, HttpService

SHARD = EXAMPLES["ShardReport"]


def test_it_shows_what_the_service_reports(operator: Browser) -> None:
    page = operator.get("/").text

    assert "Every part of the service answers." in page
    for shown in ("5\u202f000", "In RAM", "Dead letters", "Nodes"):
        assert shown in page


def test_rates_come_with_the_second_look(
    operator: Browser, service: HttpService, time: Time
) -> None:
    service.answers["GET", "/admin/shards"] = [
        SHARD | {"charges": 100, "credits_charged": 0, "writes": 200, "refusals": 4}
    ]
    first = operator.get("/").text
    time.seconds += 30
    service.answers["GET", "/admin/shards"] = [
        SHARD | {"charges": 700, "credits_charged": 21_000, "writes": 810, "refusals": 10}
    ]
    second = operator.get("/live/overview").text

    assert "<dd>\u2013</dd>" in first
    assert "<dd>1\u202f200</dd>" in second
    assert "<dd>42\u202f000</dd>" in second
    assert "<dd>12</dd>" in second
    assert "of 1\u202f220 writes" in second

    time.seconds += 30
    assert "<polyline" in operator.get("/live/overview").text


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        (["database"], "The database does not answer."),
        (["shards", "sync"], "Some shards do not answer."),
        (["moon"], "It waits for: moon."),
    ],
)
def test_readiness_is_told_in_words(
    operator: Browser, service: HttpService, missing: list[str], sentence: str
) -> None:
    service.answers["GET", "/readyz"] = httpx.Response(503, json={"missing": missing})

    assert sentence in operator.get("/").text


@pytest.mark.parametrize(
    "path", ["/admin/shards", "/admin/sync", "/admin/sweeps", "/admin/events", "/admin/reshard"]
)
def test_a_part_that_is_away_leaves_the_others(
    operator: Browser, service: HttpService, path: str
) -> None:
    service.answers["GET", path] = httpx.Response(503, json={"title": "not now"})

    assert operator.get("/").status_code == 200


def test_nobody_answering_is_a_sentence_too(operator: Browser, service: HttpService) -> None:
    service.is_away = True

    page = operator.get("/")

    assert page.status_code == 200
    assert "The service does not answer." in page.text


def test_a_running_change_of_shards_is_told(operator: Browser, service: HttpService) -> None:
    report = EXAMPLES["ReshardReport"] | {"running": True, "moved": 17, "slots": 2048}
    service.answers["GET", "/admin/reshard"] = report

    assert "17 of 2\u202f048 slots are moved" in operator.get("/").text


def test_rates_begin_again_where_a_shard_does() -> None:
    rates = Rates()
    rates.note(0.0, [{"writes": 1000, "reads": 5}])
    rates.note(60.0, [{"writes": 10, "reads": 5}])

    assert rates.a_minute("writes") is None

    rates.note(120.0, [{"writes": 70, "reads": 5}])

    assert rates.a_minute("writes") == pytest.approx(60)
    assert rates.a_minute("refusals") is None, "a version that does not count them"
    assert rates.course("refusals") == []


def test_a_rate_is_of_the_last_minute_however_long_it_was_watched() -> None:
    rates = Rates()
    for second in range(0, 300, 2):
        rates.note(float(second), [{"writes": 0 if second < 200 else second - 200}])

    assert rates.a_minute("writes") == pytest.approx(60)
