"""The OpenAI SDK's clients behind credits, against a server of its shape."""

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import openai
import pytest
from model_server import KINDS, WORDS, Model

from allotment_client import (
    Allotment,
    AsyncAllotment,
    InsufficientCredits,
    TokenCounts,
    UsageRecord,
)
from allotment_client.openai import AsyncMeteredOpenAI, MeteredOpenAI
from allotment_client.tokens import Usage

MESSAGES = [{"role": "user", "content": "say something nice"}]
ASKED = len("say something nice")


def credits_of(usage: Usage) -> int:
    return -(-usage.total // 10)


class Blocking:
    """A user's calls with the SDK's blocking client; in one interface for both."""

    def __init__(self, model: Model, allotment: Allotment, user: str, **options: Any) -> None:
        client = openai.OpenAI(base_url=model.url, api_key="none", max_retries=0)
        options = {"hold": 20, "cost": credits_of, **options}
        self.client = MeteredOpenAI(client, allotment, **options).of(user)

    def call(self, way: str, **arguments: Any) -> Any:
        method = method_of(self.client, way)
        answer = method(**arguments_of(way), **arguments)
        return list(answer) if arguments.get("stream") else answer

    def leave(self, way: str, pieces: int) -> None:
        """Read so many pieces of a stream, and leave it."""
        with method_of(self.client, way)(**arguments_of(way), model="m", stream=True) as stream:
            for _ in range(pieces):
                next(stream)


class Asynchronous:
    """The same with the SDK's asynchronous client."""

    def __init__(self, model: Model, _: Allotment, user: str, **options: Any) -> None:
        self.model = model
        self.user = user
        self.options: dict[str, Any] = {"hold": 20, "cost": credits_of, **options}

    def run(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        async def connected() -> Any:
            async with (
                openai.AsyncOpenAI(
                    base_url=self.model.url, api_key="none", max_retries=0
                ) as client,
                AsyncAllotment.connect() as allotment,
            ):
                metered = AsyncMeteredOpenAI(client, allotment, **self.options)
                return await work(metered.of(self.user))

        return asyncio.run(connected())

    def call(self, way: str, **arguments: Any) -> Any:
        async def work(client: Any) -> Any:
            answer = await method_of(client, way)(**arguments_of(way), **arguments)
            return [piece async for piece in answer] if arguments.get("stream") else answer

        return self.run(work)

    def leave(self, way: str, pieces: int) -> None:
        async def work(client: Any) -> None:
            calling = method_of(client, way)(**arguments_of(way), model="m", stream=True)
            async with await calling as stream:
                for _ in range(pieces):
                    await anext(stream)

        self.run(work)


def method_of(client: Any, way: str) -> Any:
    return client.chat.completions.create if way == "chat" else client.responses.create


def arguments_of(way: str) -> dict[str, Any]:
    return {"messages": MESSAGES} if way == "chat" else {"input": MESSAGES[0]["content"]}


both = pytest.mark.parametrize("kind", [Blocking, Asynchronous])
ways = pytest.mark.parametrize("way", ["chat", "responses"])


def charges_of(allotment: Allotment, user: str) -> list[UsageRecord]:
    """Return a user's charges; nothing may be held any more."""
    assert allotment.check_daily_allocation(user).credits_held == 0
    return list(allotment.usage(user))


def text_of(piece: Any) -> str:
    choices = getattr(piece, "choices", None)
    return choices[0].delta.content if choices else getattr(piece, "delta", "")


@both
@ways
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_is_charged_by_its_real_usage(
    kind: Any, way: str, stream: bool, model: Model, allotment: Allotment, user: str
) -> None:
    answer = kind(model, allotment, user).call(way, model="m", **{"stream": True} if stream else {})

    (charge,) = charges_of(allotment, user)
    assert (charge.credit_amount, charge.token_count, charge.model_used) == (15, 150, "m-2026")
    assert (charge.service_type, charge.details) == ("chat", None)
    assert charge.tokens == TokenCounts(cache_write=0, **KINDS)
    if stream:
        assert "".join(map(text_of, answer)) == "".join(WORDS)
    elif way == "chat":
        assert answer.choices[0].message.content == "".join(WORDS)
    else:
        assert answer.output_text == "".join(WORDS)


@both
def test_a_user_without_enough_credits_is_refused_before_the_model_is_asked(
    kind: Any, model: Model, allotment: Allotment, user: str
) -> None:
    allotment.record_usage(user, "chat", 80)

    with pytest.raises(InsufficientCredits) as refused:
        kind(model, allotment, user).call("chat", model="m")

    assert refused.value.available_at is not None
    assert not model.asked


@both
@ways
def test_a_call_that_fails_gives_its_hold_back(
    kind: Any, way: str, model: Model, allotment: Allotment, user: str
) -> None:
    with pytest.raises(openai.BadRequestError):
        kind(model, allotment, user).call(way, model="broken")

    assert not charges_of(allotment, user)


@both
@ways
def test_a_stream_that_is_left_is_settled_at_an_estimate(
    kind: Any, way: str, model: Model, allotment: Allotment, user: str
) -> None:
    kind(model, allotment, user).leave(way, 3)

    (charge,) = charges_of(allotment, user)
    heard = WORDS[:3] if way == "chat" else WORDS[:2]  # A response tells first that it began.
    assert charge.details is not None
    assert charge.details["estimated"] is True
    assert charge.tokens is not None
    assert charge.tokens.output == -(-len("".join(heard)) // 4)
    assert charge.tokens.input == -(-ASKED // 4)
    assert charge.model_used == "m-2026"


@both
def test_a_stream_that_nobody_reads_gives_its_hold_back(
    kind: Any, model: Model, allotment: Allotment, user: str
) -> None:
    kind(model, allotment, user).leave("chat", 0)

    assert not charges_of(allotment, user)


@both
def test_a_stream_that_breaks_is_settled_at_what_came(
    kind: Any, model: Model, allotment: Allotment, user: str
) -> None:
    pieces = kind(model, allotment, user).call("chat", model="cut", stream=True)

    (charge,) = charges_of(allotment, user)
    assert len(pieces) == 2
    assert charge.details is not None
    assert charge.details["estimated"] is True


def test_a_stream_that_is_dropped_is_settled(model: Model, allotment: Allotment, user: str) -> None:
    metered = Blocking(model, allotment, user).client
    stream = metered.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    next(stream)
    del stream
    gc.collect()

    assert len(charges_of(allotment, user)) == 1


@both
def test_the_piece_that_tells_usage_comes_to_those_who_ask_for_it(
    kind: Any, model: Model, allotment: Allotment, user: str
) -> None:
    metered = kind(model, allotment, user)

    asked = metered.call("chat", model="m", stream=True, stream_options={"include_usage": True})
    silent = metered.call("chat", model="m", stream=True, stream_options={"include_usage": False})

    assert asked[-1].usage.total_tokens == 150
    assert all(piece.choices for piece in silent)
    assert [body["stream_options"] for body in model.asked] == [{"include_usage": True}] * 2
    assert [charge.token_count for charge in charges_of(allotment, user)] == [150, 150]


@both
def test_an_answer_that_tells_no_usage_is_estimated(
    kind: Any, model: Model, allotment: Allotment, user: str
) -> None:
    kind(model, allotment, user).call("chat", model="silent")

    (charge,) = charges_of(allotment, user)
    assert charge.details is not None
    assert charge.tokens is not None
    assert charge.tokens.output == -(-len("".join(WORDS)) // 4)


@both
def test_where_no_price_applies_the_hold_is_charged_in_full_and_that_is_logged(
    kind: Any, model: Model, allotment: Allotment, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        kind(model, allotment, user, cost=None).call("chat", model="m")

    (charge,) = charges_of(allotment, user)
    assert (charge.credit_amount, charge.token_count) == (20, 150)
    assert "charged in full" in caplog.text


@both
def test_a_call_that_cost_more_than_was_held_is_charged_as_far_as_there_is_anything(
    kind: Any, model: Model, allotment: Allotment, user: str
) -> None:
    kind(model, allotment, user, cost=lambda _: 500).call("chat", model="m")

    (charge,) = charges_of(allotment, user)
    assert (charge.credit_amount, charge.uncovered_credits) == (90, 410)


def test_what_is_not_metered_is_not_there(model: Model, allotment: Allotment, user: str) -> None:
    with pytest.raises(AttributeError):
        _ = Blocking(model, allotment, user).client.images
