"""What the HTTP client does where an answer is bad, late or missing: the same key, within limits."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from allotment_client import (
    Allotment,
    AllotmentError,
    AsyncAllotment,
    ForbiddenError,
    OverloadedError,
    RateLimitedError,
    RefusedError,
    ServiceAwayError,
    TryAgainError,
    UnexpectedAnswerError,
)
from allotment_client.accounts import record_usage
from allotment_client.call import (
    PAUSE_SECONDS_MAX,
    TRY_SECONDS_MAX,
    Call,
    Limits,
    Pause,
    Reply,
    Send,
    exchange,
    failure_of,
    path_of,
    pause_before,
)
from allotment_client.problems import BY_CODE
from tests.fakes.shards import Seconds, in_loop

Answer = httpx.Response | Exception
STATUS = 200, {"checked": 1, "reloaded": 0, "removed": 0, "elapsed_ms": 3}


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    body = {"type": "about:blank", "title": "t", "status": status, "detail": "d", "code": code}
    return httpx.Response(status, json=body, headers=headers)


def fine() -> httpx.Response:
    return httpx.Response(STATUS[0], json=STATUS[1])


BUSY = ("overloaded", 503)


class Scripted:
    """A service that gives answers from a list, the last one again and again, and keeps what it is asked."""

    def __init__(self, *answers: Callable[[], Answer]) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def call(self, way: str, **limits: Any) -> Any:
        """Charge over one of the two clients."""
        if way == "blocking":
            http = httpx.Client(transport=httpx.MockTransport(self), base_url="http://allotment")
            return Allotment(http, Limits(**limits)).sync()

        async def asked() -> Any:
            transport = httpx.MockTransport(self)
            async with httpx.AsyncClient(transport=transport, base_url="http://allotment") as http:
                return await AsyncAllotment(http, Limits(**limits)).sync()

        return asyncio.run(asked())


both = pytest.mark.parametrize("way", ["blocking", "asyncio"])


@both
@pytest.mark.parametrize(
    "first",
    [
        lambda: problem(503, "overloaded"),
        lambda: problem(503, "storage_unavailable"),
        lambda: problem(500, "internal_error"),
        lambda: problem(429, "rate_limited"),
        lambda: problem(408, "request_timeout"),
        lambda: problem(507, "of_a_newer_version"),
        lambda: httpx.Response(502, text="<html>bad gateway"),
        lambda: httpx.Response(429, text="<html>too many requests"),
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.ReadTimeout("too late"),
        lambda: httpx.RemoteProtocolError("closed"),
    ],
)
def test_what_may_pass_is_sent_again(way: str, first: Callable[[], Answer]) -> None:
    service = Scripted(first, fine)

    assert service.call(way).checked == 1
    assert len(service.asked) == 2


@both
@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (lambda: problem(403, "forbidden"), ForbiddenError),
        (lambda: problem(409, "of_a_newer_version"), RefusedError),
        (lambda: httpx.Response(301, headers={"Location": "/else"}), UnexpectedAnswerError),
        (lambda: httpx.Response(404, text="<html>not here"), UnexpectedAnswerError),
        (lambda: httpx.Response(200, text="<html>hello"), UnexpectedAnswerError),
        (lambda: httpx.Response(200, json={"hello": 1}), UnexpectedAnswerError),
    ],
)
def test_what_would_not_pass_is_told_at_once(
    way: str, first: Callable[[], Answer], kind: type[AllotmentError]
) -> None:
    service = Scripted(first, fine)

    with pytest.raises(kind):
        service.call(way)
    assert len(service.asked) == 1


@both
def test_the_last_failure_is_told_when_the_tries_are_used_up(way: str) -> None:
    service = Scripted(lambda: problem(503, "overloaded"))

    with pytest.raises(OverloadedError) as told:
        service.call(way, tries_max=3)
    assert (len(service.asked), told.value.status, told.value.code) == (3, 503, "overloaded")


def charge(**more: Any) -> Call[Any]:
    return record_usage("ada", "chat", 1, **more)


def steps(
    call: Call[Any], outcomes: list[Reply | Exception], limits: Limits | None = None
) -> list[Send | Pause]:
    """Return the steps of an exchange whose sends have these outcomes, on a clock that stands."""
    clock, taken, left = Seconds(), [], list(outcomes)
    going = exchange(call, limits or Limits(), clock, lambda: 1.0)
    outcome: Reply | Exception | None = None
    try:
        while True:
            step = going.send(outcome)
            taken.append(step)
            clock.now += step.seconds if isinstance(step, Pause) else 0.0
            outcome = left.pop(0) if isinstance(step, Send) else None
    except (StopIteration, AllotmentError):
        return taken


def busy(**headers: str) -> Reply:
    found = problem(503, "overloaded")
    return Reply(503, found.content, headers)


def test_a_call_has_one_key_however_often_it_is_sent() -> None:
    service = Scripted(lambda: problem(503, "overloaded"), lambda: problem(503, "overloaded"), fine)
    http = httpx.Client(transport=httpx.MockTransport(service), base_url="http://allotment")

    with pytest.raises(UnexpectedAnswerError) as told:  # The answer of another call.
        Allotment(http).record_usage("ada", "chat", 1)

    keys = {request.headers["Idempotency-Key"] for request in service.asked}
    assert len(service.asked) == 3
    assert keys == {told.value.key}
    assert charge().key != charge().key
    assert charge(key="mine").headers["Idempotency-Key"] == "mine"


def test_pauses_grow_and_are_never_shorter_than_was_asked_for() -> None:
    assert [pause_before(n, None, 1.0) for n in (1, 2, 3, 4, 5, 6, 9)] == [
        *(0.1, 0.2, 0.4, 0.8, 1.6, PAUSE_SECONDS_MAX, PAUSE_SECONDS_MAX)
    ]
    assert pause_before(1, None, 0.0) == 0.05
    assert pause_before(1, 7.0, 0.0) == 7.0


def test_retry_after_is_waited_for() -> None:
    taken = steps(charge(), [busy(**{"retry-after": "5"}), Reply(200, b"{}")])

    assert taken[1] == Pause(5.0)


def test_nobody_waits_beyond_the_limit() -> None:
    taken = steps(charge(), [busy(**{"retry-after": "31"})], Limits(timeout_seconds=30.0))
    short = steps(charge(), [busy()] * 99, Limits(timeout_seconds=1.0, tries_max=99))

    assert [type(step) for step in taken] == [Send]
    assert sum(step.seconds for step in short if isinstance(step, Pause)) < 1.0


def test_one_try_leaves_time_for_another() -> None:
    call = charge()
    long = steps(call, [Reply(200, b"{}")], Limits(timeout_seconds=60.0))
    short = steps(call, [Reply(200, b"{}")], Limits(timeout_seconds=0.5))

    assert (long, short) == ([Send(call, TRY_SECONDS_MAX)], [Send(call, 0.5)])


@pytest.mark.parametrize("code", BY_CODE)
def test_every_code_has_a_type_that_tells_whether_to_try_again(code: str) -> None:
    status = {"rate_limited": 429, "request_timeout": 408}.get(code, 422)
    body = {"type": "", "title": "t", "status": status, "detail": "said", "code": code}

    error = failure_of(Reply(status, json.dumps(body).encode(), {"retry-after": "3"}))

    again = {
        "overloaded",
        "storage_unavailable",
        "internal_error",
        "rate_limited",
        "request_timeout",
    }
    assert isinstance(error, TryAgainError) == (code in again)
    assert (error.code, str(error), error.status, error.retry_after) == (code, "said", status, 3.0)


def test_an_unreachable_service_is_told_with_its_cause() -> None:
    http = httpx.Client(
        transport=httpx.MockTransport(Scripted(lambda: httpx.ConnectError("refused"))),
        base_url="http://allotment",
    )

    with pytest.raises(ServiceAwayError) as told:
        Allotment(http, Limits(tries_max=1)).sync()

    assert isinstance(told.value.__cause__, httpx.ConnectError)
    assert (told.value.code, told.value.status) == ("service_away", None)


@pytest.mark.parametrize(
    ("segment", "path"),
    [
        ("org/ada", "/subscriptions/org%2Fada"),
        ("..", "/subscriptions/%2E%2E"),
        (".", "/subscriptions/%2E"),
        ("a?b#c%d", "/subscriptions/a%3Fb%23c%25d"),
        ("ü", "/subscriptions/%C3%BC"),
    ],
)
def test_an_id_is_one_segment_of_a_path_whatever_is_in_it(segment: str, path: str) -> None:
    built = path_of("subscriptions", segment)
    request = httpx.Client(base_url="http://allotment/below").build_request("GET", built)

    assert built == path
    assert request.url.raw_path.decode() == f"/below{path}"


def test_what_is_missing_to_connect_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLOTMENT_URL", raising=False)
    monkeypatch.delenv("ALLOTMENT_API_KEY", raising=False)
    with pytest.raises(ValueError, match="ALLOTMENT_API_KEY"):
        Allotment.connect("http://127.0.0.1:8000")
    with pytest.raises(ValueError, match="http://"):
        Allotment.connect("127.0.0.1:8000", "key")

    monkeypatch.setenv("ALLOTMENT_URL", "http://127.0.0.1:8000/")
    monkeypatch.setenv("ALLOTMENT_API_KEY", "key")
    with Allotment.connect(timeout_seconds=1.0) as allotment:
        assert allotment.limits == Limits(1.0)
        assert allotment.http.headers["Authorization"] == "Bearer key"


@in_loop
async def test_what_is_being_settled_is_waited_for_at_the_end() -> None:
    may_end, ended = asyncio.Event(), []

    async def work() -> None:
        await may_end.wait()
        ended.append(True)

    transport = httpx.MockTransport(Scripted(fine))
    async with AsyncAllotment(httpx.AsyncClient(transport=transport)) as allotment:
        waiting = asyncio.create_task(allotment.finished(work()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not ended
        may_end.set()

    assert waiting.cancelled()
    assert ended


def test_a_rate_limit_says_when_it_is_over() -> None:
    error = failure_of(Reply(429, problem(429, "rate_limited").content, {"retry-after": "9"}))

    assert isinstance(error, RateLimitedError)
    assert error.retry_after == 9.0
