"""What the HTTP client does with records of a batch that are not decided: the same keys again."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest

from actors.protocol import errors
from actors.protocol.calls import UNAVAILABLE, Call
from actors.protocol.calls import Reply as CallReply
from allotment_client import (
    Allotment,
    AsyncAllotment,
    InvalidRequestError,
    ServiceAwayError,
    UnavailableError,
    UnexpectedAnswerError,
)
from allotment_client.batches import record_usages
from allotment_client.call import Call as OneCall
from allotment_client.call import Limits, Pause, Reply, exchange
from tests.clients.faces import FACES, PAYMENT, face
from tests.fakes.shards import Seconds, in_loop

RECORD = {"user_id": "ada", "service_type": "chat", "credit_amount": 30}
CHARGE = RECORD | {
    "usage_id": "u",
    "subscription_id": "s",
    **dict.fromkeys(["token_count", "model_used", "session_id", "details"]),
    "timestamp": "2026-03-10T12:00:00Z",
    "date": "2026-03-10T00:00:00Z",
    "daily_credit_limit": 90,
    "credits_used": 30,
    "credits_held": 0,
    "remaining_credits": 60,
    "low_credits": False,
    "sources": [],
    "uncovered_credits": 0,
    "late": False,
}
Asked = list[dict[str, Any]]


def failed(status: int = 503, code: str = "storage_unavailable") -> dict[str, Any]:
    told = {"type": "about:blank", "title": "t", "status": status, "detail": "d", "code": code}
    return {"status": status, "problem": told}


FINE = {"status": 201, "record": CHARGE}


class Deciding:
    """A service that decides records by their keys, and keeps what it is asked."""

    def __init__(self, decide: Callable[[str, int], dict[str, Any] | httpx.Response]) -> None:
        self.decide = decide
        self.asked: list[Asked] = []
        self.headers: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        records = json.loads(request.content)["records"]
        self.asked.append(records)
        self.headers.append(request.headers["Idempotency-Key"])
        decided = [self.decide(one["idempotency_key"], len(self.asked)) for one in records]
        for one in decided:
            if isinstance(one, httpx.Response):
                return one
        return httpx.Response(200, json={"results": decided})

    def charge(self, way: str, records: Any, key: str | None = None, **limits: Any) -> list[Any]:
        """Charge over one of the two clients."""
        transport, address = httpx.MockTransport(self), "http://allotment"
        if way == "blocking":
            http = httpx.Client(transport=transport, base_url=address)
            return Allotment(http, Limits(**limits)).record_usages(records, key=key)

        async def asked() -> Any:
            async with httpx.AsyncClient(transport=transport, base_url=address) as http:
                return await AsyncAllotment(http, Limits(**limits)).record_usages(records, key=key)

        return list(asyncio.run(asked()))

    @property
    def keys(self) -> list[list[str]]:
        return [[one["idempotency_key"] for one in records] for records in self.asked]


both = pytest.mark.parametrize("way", ["blocking", "asyncio"])


@both
def test_only_records_that_are_not_decided_are_sent_again(way: str) -> None:
    refusal = failed(422, "invalid_request")
    first = {"k.0": FINE, "k.1": failed(), "own": failed(500, "internal_error"), "k.3": refusal}
    service = Deciding(lambda key, turn: first[key] if turn == 1 else FINE)

    results = service.charge(
        way, [RECORD, RECORD, RECORD | {"idempotency_key": "own"}, RECORD], "k"
    )

    assert service.keys == [["k.0", "k.1", "own", "k.3"], ["k.1", "own"]]
    assert [type(one).__name__ for one in results] == [
        *["UsageRecordResponse"] * 3,
        "InvalidRequestError",
    ]
    assert results[3].key == "k.3"


@both
def test_what_is_not_decided_within_the_limits_is_told_with_its_key(way: str) -> None:
    service = Deciding(lambda key, _: failed() if key == "own" else failed(503, "overloaded"))

    results = service.charge(way, [RECORD, RECORD | {"idempotency_key": "own"}], tries_max=3)

    assert len(service.asked) == 3
    assert service.keys[0] == service.keys[1] == service.keys[2]
    assert [(one.code, one.key) for one in results] == [
        ("overloaded", service.keys[0][0]),
        ("storage_unavailable", "own"),
    ]
    assert len(set(service.headers)) == 1
    assert service.keys[0][0] == f"{service.headers[0]}.0"


@both
@pytest.mark.parametrize("status", [502, 403])
def test_what_was_decided_is_told_though_the_rest_failed_since(way: str, status: int) -> None:
    def decide(key: str, turn: int) -> dict[str, Any] | httpx.Response:
        if turn > 1:
            return httpx.Response(status, json=failed(403, "forbidden")["problem"])
        return FINE if key == "k.0" else failed()

    charged, lost = Deciding(decide).charge(way, [RECORD, RECORD], "k", tries_max=2)

    assert charged.credits_used == 30
    assert isinstance(lost, UnavailableError)
    assert lost.key == "k.1"


@both
def test_a_batch_that_is_lost_as_a_whole_has_the_key_that_stands_for_its_records(way: str) -> None:
    service = Deciding(lambda *_: httpx.Response(502))

    with pytest.raises(ServiceAwayError) as told:
        service.charge(way, [RECORD], tries_max=2)

    assert service.keys == [[f"{told.value.key}.0"]] * 2


@pytest.mark.parametrize("count", [0, 2])
def test_an_answer_with_another_number_of_records_is_none(count: int) -> None:
    service = Deciding(lambda *_: httpx.Response(200, json={"results": [FINE] * count}))

    with pytest.raises(UnexpectedAnswerError):
        service.charge("blocking", [RECORD])


def pauses_of(call: OneCall[Any], reply: Reply, limits: Limits) -> Iterator[float]:
    """Yield the pauses of an exchange in which each try has the same reply."""
    clock = Seconds()
    going = exchange(call, limits, clock, lambda: 1.0)
    step = next(going)
    while True:
        try:
            step = going.send(None if isinstance(step, Pause) else reply)
        except StopIteration:
            return
        if isinstance(step, Pause):
            clock.now += step.seconds
            yield step.seconds


def test_a_repeat_waits_no_longer_than_the_limit() -> None:
    reply = Reply(200, json.dumps({"results": [failed()]}).encode())
    pauses = pauses_of(record_usages([RECORD]), reply, Limits(timeout_seconds=1.0, tries_max=99))

    assert list(pauses) == [0.1, 0.2, 0.4]


@pytest.mark.parametrize("name", FACES)
@in_loop
async def test_a_batch_whose_outcome_is_unknown_is_charged_once_under_its_key(name: str) -> None:
    async with face(name) as (client, backend):
        await client.add_credit("ada", 3000, 30, PAYMENT)
        really = backend.router.calls

        async def lost(calls: Sequence[Call]) -> list[CallReply]:
            await really(calls)
            return [UNAVAILABLE] * len(calls)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backend.router, "calls", lost)
            client.limits = Limits(tries_max=2)
            unknown = await client.record_usages([RECORD, RECORD], key="job")
        again = await client.record_usages([RECORD, RECORD], key="job")
        status = await client.check_daily_allocation("ada")

    assert [one.code for one in unknown] == ["storage_unavailable"] * 2
    assert [one.remaining_credits for one in again] == [60, 30]
    assert status.remaining_credits == 30


@in_loop
async def test_a_record_is_repeated_in_another_batch_under_the_key_of_its_error() -> None:
    async with face("http") as (client, backend):
        await client.add_credit("ada", 3000, 30, PAYMENT)
        really = backend.router.calls

        async def lost(calls: Sequence[Call]) -> list[CallReply]:
            await really(calls)
            return [UNAVAILABLE] * len(calls)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backend.router, "calls", lost)
            client.limits = Limits(tries_max=1)
            _, unknown = await client.record_usages([RECORD, RECORD])
        (again,) = await client.record_usages([RECORD | {"idempotency_key": unknown.key}])
        status = await client.check_daily_allocation("ada")

    assert again.remaining_credits == status.remaining_credits == 30


@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize("key", ["", "ü", "k" * 252])
@in_loop
async def test_a_key_that_is_none_or_leaves_no_room_for_places_is_refused(
    name: str, key: str
) -> None:
    async with face(name) as (client, _):
        with pytest.raises((InvalidRequestError, errors.InvalidRequestError)):
            await client.record_usages([RECORD], key=key)
        (fits,) = await client.record_usages([RECORD], key="k" * 251)
    assert fits.code == "no_active_subscription"
