"""LiteLLM behind credits, with LiteLLM's own mock responses."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import astuple
from types import SimpleNamespace
from typing import Any

import litellm
import pytest
from fastapi import HTTPException

from allotment_client import Allotment, AsyncAllotment, InsufficientCredits, UsageRecord
from allotment_client.litellm import TOKEN, CreditsHook, user_of
from allotment_client.tokens import Usage

MESSAGES = [{"role": "user", "content": "say something nice"}]
CALL: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "mock_response": "good morning"}
TOKENS, STREAMED = 30, 12  # Of a mock response, as LiteLLM tells or counts them.
WAIT_SECONDS_MAX = 60.0


def credits_of(usage: Usage) -> int:
    return -(-usage.total // 10)


@pytest.fixture(autouse=True)
def no_callbacks_stay() -> Iterator[None]:
    yield
    litellm.logging_callback_manager._reset_all_callbacks()


def run(work: Callable[[CreditsHook, AsyncAllotment], Awaitable[Any]], **options: Any) -> Any:
    """Run a program that has the hook before its calls, and return what it returns."""

    async def program() -> Any:
        async with AsyncAllotment.connect() as allotment:
            hook = CreditsHook(allotment, **{"hold": 20, "cost": credits_of, **options})
            litellm.callbacks = [hook]
            return await work(hook, allotment)

    return asyncio.run(program())


async def all_ended(hook: CreditsHook, allotment: AsyncAllotment) -> None:
    """Wait for the callbacks: LiteLLM runs them beside the program."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while hook._held or allotment._ending:
            await asyncio.sleep(0.01)


def in_sdk(user: str, **more: Any) -> Callable[[CreditsHook, AsyncAllotment], Awaitable[Any]]:
    """Return a program that makes one call."""

    async def work(hook: CreditsHook, allotment: AsyncAllotment) -> Any:
        answer = await litellm.acompletion(**CALL, **more, user=user)
        pieces = [piece async for piece in answer] if more.get("stream") else answer
        await all_ended(hook, allotment)
        return pieces

    return work


def charges_of(allotment: Allotment, user: str) -> list[UsageRecord]:
    """Return a user's charges; nothing may be held any more."""
    assert allotment.check_daily_allocation(user).credits_held == 0
    return list(allotment.usage(user))


# --- a program ----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_is_charged_by_its_real_usage(stream: bool, allotment: Allotment, user: str) -> None:
    run(in_sdk(user, **{"stream": True} if stream else {}), in_sdk=True)

    (charge,) = charges_of(allotment, user)
    tokens = STREAMED if stream else TOKENS
    assert (charge.token_count, charge.model_used) == (tokens, "gpt-4o")
    assert charge.credit_amount == -(-tokens // 10)
    assert charge.tokens is not None
    assert sum(astuple(charge.tokens)) == tokens
    assert charge.details is None


def test_a_user_without_enough_credits_is_refused_before_the_call(
    allotment: Allotment, user: str
) -> None:
    allotment.record_usage(user, "chat", 80)

    with pytest.raises(InsufficientCredits):
        run(in_sdk(user), in_sdk=True)


def test_a_call_that_names_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="user"):
        run(in_sdk(""), in_sdk=True)


def test_a_call_that_fails_gives_its_hold_back(allotment: Allotment, user: str) -> None:
    async def work(hook: CreditsHook, client: AsyncAllotment) -> None:
        broken = CALL | {"mock_response": Exception("broken")}
        with pytest.raises(litellm.InternalServerError):
            await litellm.acompletion(**broken, user=user)
        await all_ended(hook, client)

    run(work, in_sdk=True)

    assert not charges_of(allotment, user)


def test_repeats_and_fallbacks_of_a_router_are_charged_once(
    allotment: Allotment, user: str
) -> None:
    def deployment(name: str, model: str, answer: str) -> dict[str, Any]:
        given = {"model": model, "mock_response": answer, "api_key": "none"}
        return {"model_name": name, "litellm_params": given}

    async def work(hook: CreditsHook, client: AsyncAllotment) -> None:
        broken = deployment("first", "gpt-4o", "litellm.InternalServerError")
        fine = deployment("second", "gpt-4o-mini", "good morning")
        fallbacks = [{"first": ["second"]}]
        router = litellm.Router([broken, fine], fallbacks=fallbacks, num_retries=1)
        await router.acompletion(model="first", messages=MESSAGES, user=user)
        await all_ended(hook, client)

    run(work, in_sdk=True)

    (charge,) = charges_of(allotment, user)
    assert (charge.credit_amount, charge.model_used) == (3, "gpt-4o-mini")


def test_where_no_price_applies_the_hold_is_charged_in_full_and_that_is_logged(
    allotment: Allotment, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run(in_sdk(user), in_sdk=True, cost=None)

    (charge,) = charges_of(allotment, user)
    assert (charge.credit_amount, charge.token_count) == (20, 30)
    assert "charged in full" in caplog.text


# --- the proxy ----------------------------------------------------------------------------


class Proxy:
    """Does with a hook what LiteLLM's proxy does around each request."""

    def __init__(self, hook: CreditsHook, user: str) -> None:
        self.hook = hook
        self.key = SimpleNamespace(user_id=user, end_user_id=None)

    async def asked(self, call_type: str = "acompletion", **more: Any) -> dict[str, Any]:
        """Return the request as the hook lets it pass."""
        data = {**CALL, "metadata": {"team": "a"}, **more}
        return await self.hook.async_pre_call_hook(self.key, None, data, call_type)

    async def streamed(self, data: dict[str, Any]) -> AsyncIterator[Any]:
        answer = await litellm.acompletion(**data, stream=True)
        pieces = self.hook.async_post_call_streaming_iterator_hook(self.key, answer, data)
        async for piece in pieces:
            yield piece


def test_the_proxy_holds_and_settles(allotment: Allotment, user: str) -> None:
    async def work(hook: CreditsHook, client: AsyncAllotment) -> tuple[int, dict[str, Any]]:
        data = await Proxy(hook, user).asked()
        held = (await client.check_daily_allocation(user)).credits_held
        await litellm.acompletion(**data)
        await all_ended(hook, client)
        return held, data["metadata"]

    held, metadata = run(work)

    (charge,) = charges_of(allotment, user)
    assert (held, charge.credit_amount) == (20, 3)
    assert metadata["team"] == "a"


def test_the_proxy_answers_402_with_the_problem(allotment: Allotment, user: str) -> None:
    allotment.record_usage(user, "chat", 80)

    async def work(hook: CreditsHook, _: AsyncAllotment) -> HTTPException:
        with pytest.raises(HTTPException) as refused:
            await Proxy(hook, user).asked()
        return refused.value

    refused = run(work)

    assert refused.status_code == 402
    problem: Any = refused.detail
    assert (problem["code"], problem["remaining_credits"]) == ("insufficient_credits", 10)
    assert refused.headers is not None
    assert refused.headers["RateLimit"].startswith('"credits";r=10;t=')


def test_the_proxy_refuses_a_key_of_nobody() -> None:
    async def work(hook: CreditsHook, _: AsyncAllotment) -> HTTPException:
        with pytest.raises(HTTPException) as refused:
            await Proxy(hook, "").asked()
        return refused.value

    assert run(work).status_code == 403


def test_the_proxy_gives_back_what_fails_in_the_end_and_not_before(
    allotment: Allotment, user: str
) -> None:
    async def work(hook: CreditsHook, client: AsyncAllotment) -> int:
        proxy = Proxy(hook, user)
        data = await proxy.asked(mock_response=Exception("broken"))
        with pytest.raises(litellm.InternalServerError):
            await litellm.acompletion(**data)
        await asyncio.sleep(0)
        held = (await client.check_daily_allocation(user)).credits_held
        await hook.async_post_call_failure_hook(data, Exception("broken"), proxy.key)
        await all_ended(hook, client)
        return held

    assert run(work) == 20
    assert not charges_of(allotment, user)


def test_a_stream_of_the_proxy_is_charged_by_its_usage(allotment: Allotment, user: str) -> None:
    async def work(hook: CreditsHook, client: AsyncAllotment) -> str:
        proxy = Proxy(hook, user)
        pieces = [piece async for piece in proxy.streamed(await proxy.asked())]
        await all_ended(hook, client)
        return "".join(piece.choices[0].delta.content or "" for piece in pieces)

    assert run(work) == "good morning"
    (charge,) = charges_of(allotment, user)
    assert charge.token_count == STREAMED


def test_a_stream_that_a_client_of_the_proxy_leaves_is_settled_at_an_estimate(
    allotment: Allotment, user: str
) -> None:
    async def work(hook: CreditsHook, client: AsyncAllotment) -> None:
        proxy = Proxy(hook, user)
        data = await proxy.asked(mock_response="good morning " * 20)
        stream = litellm.acompletion(**data, stream=True)
        pieces = hook.async_post_call_streaming_iterator_hook(proxy.key, await stream, data)
        for _ in range(3):
            await anext(pieces)
        await pieces.aclose()  # type: ignore[attr-defined]
        await all_ended(hook, client)

    run(work)

    (charge,) = charges_of(allotment, user)
    assert charge.details is not None
    assert charge.details["estimated"] is True
    assert charge.tokens is not None
    assert charge.tokens.output >= 1


@pytest.mark.parametrize("is_whole", [True, False])
def test_the_proxys_own_names_of_models_are_no_models(
    is_whole: bool, allotment: Allotment, user: str
) -> None:
    async def pieces() -> AsyncIterator[Any]:
        yield SimpleNamespace(model="nice")

    async def work(hook: CreditsHook, client: AsyncAllotment) -> None:
        proxy = Proxy(hook, user)
        data = await proxy.asked(model="nice")
        details = {"model": "gpt-4o", "litellm_params": {"metadata": data["metadata"]}}
        if is_whole:
            await hook.async_log_success_event(details, SimpleNamespace(model="nice"), None, None)
        else:
            data["litellm_logging_obj"] = SimpleNamespace(model_call_details=details)
            stream = hook.async_post_call_streaming_iterator_hook(proxy.key, pieces(), data)
            await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]
        await all_ended(hook, client)

    run(work)

    (charge,) = charges_of(allotment, user)
    assert charge.model_used == "gpt-4o"


def test_a_stream_of_messages_that_is_left_counts_what_had_come(
    allotment: Allotment, user: str
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for delta in ({"text": "good "}, {"thinking": "well"}, {"partial_json": "{}"}):
            event = {"type": "content_block_delta", "delta": delta}
            yield f"event: content_block_delta\ndata: {json.dumps(event)}\n\n".encode()
        yield b"event: ping\ndata: {"

    async def work(hook: CreditsHook, client: AsyncAllotment) -> None:
        proxy = Proxy(hook, user)
        data = await proxy.asked("anthropic_messages")
        stream = hook.async_post_call_streaming_iterator_hook(proxy.key, pieces(), data)
        for _ in range(4):
            await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        await all_ended(hook, client)

    run(work)

    (charge,) = charges_of(allotment, user)
    assert charge.tokens is not None
    assert charge.tokens.output == 3  # Of 11 characters.


def test_what_a_request_says_of_a_hold_is_nothing(allotment: Allotment, user: str) -> None:
    async def work(hook: CreditsHook, _: AsyncAllotment) -> str:
        proxy = Proxy(hook, user)
        data = await proxy.asked(metadata={TOKEN: "guessed"})
        forged = {"litellm_params": {"metadata": {TOKEN: "guessed"}}, "model": "gpt-4o"}
        await hook.async_log_success_event(forged, None, None, None)
        await hook.async_post_call_failure_hook(data, Exception("broken"), proxy.key)
        return str(data["metadata"][TOKEN])

    assert run(work) != "guessed"
    assert not charges_of(allotment, user)


@pytest.mark.parametrize(
    ("key", "named", "user"),
    [
        ({"user_id": "ada", "end_user_id": "eve"}, "bob", "ada"),
        ({"user_id": "default_user_id", "end_user_id": "eve"}, "bob", "eve"),
        ({"user_id": None, "end_user_id": None}, "bob", "bob"),
        ({}, None, None),
    ],
)
def test_whose_the_key_is_decides_who_pays(
    key: dict[str, Any], named: str | None, user: str | None
) -> None:
    assert user_of(SimpleNamespace(**key), {"user": named}) == user


def test_moderation_and_cached_answers_cost_nothing(allotment: Allotment, user: str) -> None:
    async def work(hook: CreditsHook, _: AsyncAllotment) -> bool:
        proxy = Proxy(hook, user)
        moderated = await proxy.asked("moderation")
        data = await proxy.asked()
        event = {"litellm_params": data, "cache_hit": True, "model": "gpt-4o"}
        await hook.async_log_success_event(event, None, None, None)
        return TOKEN in moderated["metadata"]

    assert not run(work)
    assert not charges_of(allotment, user)
