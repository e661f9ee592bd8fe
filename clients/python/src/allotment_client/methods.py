"""What both clients are made of: how they are connected, and calls as methods."""

import functools
import inspect
import os
import random
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import httpx

from allotment_client.call import TRY_SECONDS_MAX, Call, Reply
from allotment_client.following import PATH, SILENCE_SECONDS_MAX, Following
from allotment_client.version import VERSION

P = ParamSpec("P")
T = TypeVar("T")

URL_VARIABLE, KEY_VARIABLE = "ALLOTMENT_URL", "ALLOTMENT_API_KEY"
CONNECTIONS_MAX = 100  # Further calls wait for one of these.
dice = random.Random().random  # noqa: S311 - it only keeps clients from coming together


class Sender(Protocol):
    """A client that blocks."""

    def send(self, call: Call[T]) -> T:
        """Send a call until it is answered."""


class AsyncSender(Protocol):
    """A client for asyncio."""

    async def send(self, call: Call[T]) -> T:
        """Send a call until it is answered."""

    async def finished(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work to its end: in the background if the task that waits for it is cancelled."""


def sent(build: Callable[P, Call[T]]) -> Callable[Concatenate[Any, P], T]:
    """Return the method that sends what `build` builds, and waits for its answer."""

    def method(self: Sender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.send(build(*args, **kwargs))

    _name(method, build)
    return method


def sent_async(
    build: Callable[P, Call[T]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Return the method that sends what `build` builds: a coroutine of its answer."""

    async def method(self: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.send(build(*args, **kwargs))

    _name(method, build)
    return method


def _name(method: Any, build: Callable[..., Any]) -> None:
    """Give a method the name, text and arguments of what it sends."""
    functools.update_wrapper(method, build)
    signature = inspect.signature(build)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    (answer,) = getattr(signature.return_annotation, "__args__", (None,))
    method.__signature__ = signature.replace(
        parameters=[itself, *signature.parameters.values()], return_annotation=answer
    )


def options_of(url: str | None, api_key: str | None) -> dict[str, Any]:
    """Return what httpx's clients are made with. Raises ValueError where something is missing."""
    url, api_key = url or os.environ.get(URL_VARIABLE), api_key or os.environ.get(KEY_VARIABLE)
    if not url or not api_key:
        raise ValueError(f"give url and api_key, or set {URL_VARIABLE} and {KEY_VARIABLE}")
    if not url.startswith(("http://", "https://")):
        raise ValueError("url begins with http:// or https://")
    return {
        "base_url": url.rstrip("/"),
        "headers": {
            "Authorization": f"Bearer {api_key}",
            "User-Agent": f"allotment-client/{VERSION}",
            "Accept": "application/json",
        },
        "limits": httpx.Limits(max_connections=CONNECTIONS_MAX),
    }


def request_of(call: Call[Any], seconds: float) -> dict[str, Any]:
    """Return a call as httpx's `request` takes it."""
    return {
        "method": call.method,
        "url": call.path,
        "params": call.query or None,
        "content": call.body,
        "headers": call.headers,
        "timeout": seconds,
    }


def stream_of(following: Following) -> dict[str, Any]:
    """Return the next stream of events as httpx's `stream` takes it."""
    return {
        "method": "GET",
        "url": PATH,
        "params": following.begin(),
        "headers": {"Accept": "text/event-stream"},
        "timeout": httpx.Timeout(TRY_SECONDS_MAX, read=SILENCE_SECONDS_MAX),
    }


def reply_of(response: httpx.Response) -> Reply:
    """Return what httpx received, as the shared part knows it."""
    return Reply(response.status_code, response.content, response.headers)
