"""A changed time zone in the documents of every store, in shards, and over HTTP."""

import logging
from datetime import date, timedelta
from typing import Any

import pytest

from actors.protocol.calls import Call, Outcome
from domain.eras import ERAS_MAX, Era
from domain.messages import ChangeSubscription
from domain.values import UserId
from tests.builders.authors import NOON, Author, write
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.memory_store import MemoryStore
from tests.fakes.setups import Setup
from tests.fakes.shards import Clock, ask, ask_one, charge_call, credit_call, in_loop, running
from tests.fakes.shards import status as status_of

ANN = UserId("ann")
ONE_DAY = timedelta(days=1)
TODAY = date(2026, 3, 10)
UNTIL_TODAY = [{"timezone": "UTC", "until": "2026-03-10"}]
SECRET = "she told us on the phone"


def move(author: Author, zone: str, **fields: Any) -> ChangeSubscription:
    name = author.account.subscriptions[0].subscription_id
    return ChangeSubscription(ANN, name, timezone=zone, **fields)


# --- documents ----------------------------------------------------------------------------


def test_a_new_zone_and_the_one_of_earlier_dates_are_in_the_document_and_read_back(
    setup: Setup,
) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(), author.use(30)])
    before = setup.document("subscriptions")

    write(setup.store, [author.do(move(author, "Asia/Tokyo", reason=SECRET))])
    author.now = NOON + 12 * timedelta(hours=1)
    write(setup.store, [author.use(20)])

    changed = {"timezone": "Asia/Tokyo", "timezones": UNTIL_TODAY, "applied_seq": 3, "revision": 2}
    assert setup.document("subscriptions") == before | changed | {"changed_at": NOON}
    days = {day["date"]: day["credits_used"] for day in setup.documents("dailycredits")}
    assert days == {NOON.replace(hour=0): 30, NOON.replace(hour=15): 20}
    loaded = Author.of(setup.store.load([ANN], author.now)[0], author.now).account
    assert loaded == author.account
    assert loaded.subscriptions[0].eras == (Era("UTC", TODAY),)


def test_a_return_on_the_same_date_leaves_no_earlier_zone(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])

    write(setup.store, [author.do(move(author, "Asia/Tokyo")), author.do(move(author, "UTC"))])

    document = setup.document("subscriptions")
    assert (document["timezone"], document["timezones"]) == ("UTC", [])
    assert Author.of(setup.store.load([ANN], NOON)[0]).account == author.account


def test_a_zone_that_another_program_sets_alone_is_that_of_later_dates(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(), author.use(30), author.do(move(author, "Asia/Tokyo"))])

    setup.change("subscriptions", {"user_id": ANN}, timezone="America/New_York")

    (subscription,) = Author.of(setup.store.load([ANN], NOON)[0]).account.subscriptions
    assert subscription.timezone == "America/New_York"
    assert subscription.day is not None
    assert (subscription.day.date, subscription.day.used) == (TODAY, 30)
    assert subscription.begins(TODAY + ONE_DAY) == NOON + timedelta(hours=16)


def test_a_change_that_no_view_contains_yet_comes_back_from_the_journal(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(), author.use(30)])
    entries = [author.do(move(author, "Asia/Tokyo"))]
    author.now = NOON + ONE_DAY
    entries.append(author.use(10))

    setup.store.append(entries)

    loaded = Author.of(setup.store.load([ANN], author.now)[0], author.now).account
    assert loaded == author.account


def test_as_many_zones_as_there_may_be_are_read_back(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(days=200)])
    for place in range(ERAS_MAX):
        zone = ("Asia/Tokyo", "America/New_York")[place % 2]
        write(setup.store, [author.do(move(author, zone))])
        author.now += ONE_DAY

    loaded = Author.of(setup.store.load([ANN], author.now)[0], author.now).account
    assert loaded == author.account
    assert len(loaded.subscriptions[0].eras) == ERAS_MAX


# --- a shard ------------------------------------------------------------------------------


@in_loop
async def test_a_shard_that_is_lost_in_between_gives_the_next_day_once() -> None:
    store, clock = MemoryStore(), Clock()
    async with running(store, clock=clock) as shard:
        await ask(shard, credit_call(ANN, 1000, 10, "credit"), charge_call(ANN, 90, "one"))
        name = (await status_of(shard, ANN)).subscription_id or ""
        command = ChangeSubscription(ANN, name, timezone="Asia/Tokyo")
        await ask_one(shard, Call(command, "move", keep_refusal=True))
    clock.now = NOON + timedelta(hours=4)  # Past midnight in Tokyo.
    async with running(store, clock=clock) as shard:
        early = await ask_one(shard, charge_call(ANN, 1, "two"))
        assert early.outcome is Outcome.REFUSED
    clock.now = NOON + timedelta(hours=12)
    async with running(store, clock=clock) as shard:
        assert (await ask_one(shard, charge_call(ANN, 90, "three"))).outcome is Outcome.DONE
        clock.now = NOON + timedelta(hours=27) - timedelta(milliseconds=1)
        assert (await ask_one(shard, charge_call(ANN, 1, "four"))).outcome is Outcome.REFUSED
        clock.now = NOON + timedelta(hours=27)
        assert (await ask_one(shard, charge_call(ANN, 90, "five"))).outcome is Outcome.DONE


# --- HTTP ---------------------------------------------------------------------------------


async def added(http: Any) -> str:
    answer = await http.post("/subscription/credits", json=CREDITS)
    return str(answer.json()["subscription"]["subscription_id"])


@in_loop
async def test_a_zone_and_its_reason_are_in_record_status_document_and_history(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with edge() as (http, backend):
        path = f"/subscriptions/{await added(http)}"
        await http.post("/subscription/usage", json=USAGE)

        body = {"timezone": "America/New_York", "reason": SECRET}
        changed = await http.patch(path, json=body)
        shown = (await http.get("/subscription/status", params={"user_id": "ada"})).json()
        history = (await http.get("/subscriptions/ada/history")).json()["items"]
    (document,) = backend.shards.store.collections["subscriptions"].values()
    assert changed.status_code == 200
    assert changed.json()["timezone"] == document["timezone"] == "America/New_York"
    assert document["timezones"] == UNTIL_TODAY
    assert (shown["timezone"], shown["date"]) == ("America/New_York", "2026-03-10T00:00:00Z")
    assert shown["resets_at"] == "2026-03-11T04:00:00Z"
    entry = history[0]
    assert (entry["kind"], entry["change"]["reason"]) == ("subscription_changed", SECRET)
    assert entry["change"]["timezone"] == "America/New_York"
    assert entry["by"].startswith("key:")
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "nothing else"},
        {"timezone": "Europe/Atlantis"},
        {"timezone": "localtime"},
        {"timezone": ""},
        {"timezone": None},
        {"timezone": 7},
        {"timezone": "UTC", "reason": ""},
        {"timezone": "UTC", "reason": "x" * 257},
        {"timezone": "UTC", "reason": "two\nlines"},
        {"timezone": "UTC", "reason": ["list"]},
    ],
)
@in_loop
async def test_a_zone_or_a_reason_that_cannot_be_is_refused(body: dict[str, Any]) -> None:
    async with edge() as (http, _):
        answer = await http.patch(f"/subscriptions/{await added(http)}", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@in_loop
async def test_a_zone_with_status_end_and_the_longest_reason_is_one_change() -> None:
    async with edge() as (http, _):
        body = {
            "timezone": "Asia/Kolkata",
            "status": "past_due",
            "end_date": "2026-03-20T00:00:00Z",
            "reason": "ü" * 256,
        }
        answer = await http.patch(f"/subscriptions/{await added(http)}", json=body)

    record = answer.json()
    assert {name: record[name] for name in ("timezone", "status", "end_date")} == {
        name: body[name] for name in ("timezone", "status", "end_date")
    }
