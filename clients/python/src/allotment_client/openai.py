"""The OpenAI SDK's clients behind credits: a hold before each call, its real usage settled.

    openai = MeteredOpenAI(OpenAI(), Allotment.connect(), hold=20)
    openai.of("ada").chat.completions.create(model="gpt-5", messages=[…])

Metered are `chat.completions.create` and `.parse`, `responses.create` and `.parse`, streamed ones
too. What else the SDK can do is not here, so that nothing goes unmetered by accident.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace, TracebackType
from typing import Any, Self

from allotment_client.answers import HoldResponse
from allotment_client.async_client import AsyncAllotment
from allotment_client.client import Allotment
from allotment_client.metering import (
    Terms,
    release,
    release_async,
    settle,
    settle_async,
)
from allotment_client.tokens import Cost, Tally

ASKED = ("messages", "input", "instructions", "tools")
"""The arguments that a model reads."""


class MeteredOpenAI:
    """`openai.OpenAI`, or what has its methods, for many users.

    `hold` credits are set aside for a call. It is settled by `cost` of its usage, else by the
    service's price list; where no price applies, in full, which is logged.
    """

    def __init__(
        self,
        client: Any,
        allotment: Allotment,
        *,
        hold: int,
        service_type: str = "chat",
        cost: Cost | None = None,
    ) -> None:
        self._client = client
        self._allotment = allotment
        self._terms = Terms(hold, service_type, cost)

    def of(self, user_id: str) -> Any:
        """Return the client for one user's calls. They raise InsufficientCreditsError."""

        def metered(method: Callable[..., Any], *, is_chat: bool) -> Callable[..., Any]:
            return lambda **arguments: self._call(user_id, method, arguments, is_chat=is_chat)

        return _like_openai(self._client, metered)

    def _call(
        self, user_id: str, method: Callable[..., Any], arguments: dict[str, Any], *, is_chat: bool
    ) -> Any:
        hold = self._allotment.hold(**self._terms.hold(user_id, arguments.get("model")))
        tally = _tally(arguments)
        try:
            answer = method(**_with_usage(arguments, is_chat=is_chat))
        except BaseException:
            release(self._allotment, hold)
            raise
        if arguments.get("stream") is True:
            return MeteredStream(answer, tally, hold, self._end, hides=_hides(arguments, is_chat))
        tally.take(answer)
        self._end(hold, tally)
        return answer

    def _end(self, hold: HoldResponse, tally: Tally) -> None:
        if tally.has_begun:
            settle(self._allotment, hold, self._terms, tally.usage)
        else:
            release(self._allotment, hold)


class AsyncMeteredOpenAI:
    """`openai.AsyncOpenAI` for many users: as MeteredOpenAI."""

    def __init__(
        self,
        client: Any,
        allotment: AsyncAllotment,
        *,
        hold: int,
        service_type: str = "chat",
        cost: Cost | None = None,
    ) -> None:
        self._client = client
        self._allotment = allotment
        self._terms = Terms(hold, service_type, cost)

    def of(self, user_id: str) -> Any:
        """Return the client for one user's calls. They raise InsufficientCreditsError."""

        def metered(method: Callable[..., Any], *, is_chat: bool) -> Callable[..., Any]:
            async def call(**arguments: Any) -> Any:
                return await self._call(user_id, method, arguments, is_chat=is_chat)

            return call

        return _like_openai(self._client, metered)

    async def _call(
        self, user_id: str, method: Callable[..., Any], arguments: dict[str, Any], *, is_chat: bool
    ) -> Any:
        hold = await self._allotment.hold(**self._terms.hold(user_id, arguments.get("model")))
        tally = _tally(arguments)
        try:
            answer = await method(**_with_usage(arguments, is_chat=is_chat))
        except BaseException:
            await self._allotment.finished(release_async(self._allotment, hold))
            raise
        if arguments.get("stream") is True:
            hides = _hides(arguments, is_chat)
            return AsyncMeteredStream(answer, tally, hold, self._end, hides=hides)
        tally.take(answer)
        await self._end(hold, tally)
        return answer

    async def _end(self, hold: HoldResponse, tally: Tally) -> None:
        if tally.has_begun:
            ending = settle_async(self._allotment, hold, self._terms, tally.usage)
        else:
            ending = release_async(self._allotment, hold)
        await self._allotment.finished(ending)


class MeteredStream:
    """A stream of the SDK's, settled at its end: read out, closed, broken or dropped."""

    def __init__(
        self,
        stream: Any,
        tally: Tally,
        hold: HoldResponse,
        end: Callable[[HoldResponse, Tally], None],
        *,
        hides: bool,
    ) -> None:
        self._stream = stream
        self._tally = tally
        self._hold = hold
        self._end = end
        self._hides = hides
        self._is_over = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """Return the next piece. The one that tells usage is left out unless asked for."""
        while True:
            try:
                piece = next(self._stream)
            except BaseException:
                self._finish()
                raise
            self._tally.take(piece)
            if not (self._hides and _tells_usage_alone(piece)):
                return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """Leave the stream: what has come so far is settled."""
        self._stream.close()
        self._finish()

    def _finish(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._end(self._hold, self._tally)


class AsyncMeteredStream:
    """A stream of the SDK's, settled at its end. Use it with `async with`: dropped, it expires."""

    def __init__(
        self,
        stream: Any,
        tally: Tally,
        hold: HoldResponse,
        end: Callable[[HoldResponse, Tally], Any],
        *,
        hides: bool,
    ) -> None:
        self._stream = stream
        self._tally = tally
        self._hold = hold
        self._end = end
        self._hides = hides
        self._is_over = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        """Return the next piece. The one that tells usage is left out unless asked for."""
        while True:
            try:
                piece = await anext(self._stream)
            except BaseException:
                await self._finish()
                raise
            self._tally.take(piece)
            if not (self._hides and _tells_usage_alone(piece)):
                return piece

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the stream: what has come so far is settled."""
        try:
            await self._stream.close()
        finally:
            await self._finish()

    async def _finish(self) -> None:
        if not self._is_over:
            self._is_over = True
            await self._end(self._hold, self._tally)


def _like_openai(client: Any, metered: Callable[..., Callable[..., Any]]) -> Any:
    """Return what has the metered methods of a client in their places."""
    chat, responses = client.chat.completions, client.responses
    completions = SimpleNamespace(
        create=metered(chat.create, is_chat=True), parse=metered(chat.parse, is_chat=True)
    )
    return SimpleNamespace(
        chat=SimpleNamespace(completions=completions),
        responses=SimpleNamespace(
            create=metered(responses.create, is_chat=False),
            parse=metered(responses.parse, is_chat=False),
        ),
    )


def _tally(arguments: dict[str, Any]) -> Tally:
    return Tally([arguments.get(name) for name in ASKED], arguments.get("model"))


def _asks_usage(arguments: dict[str, Any]) -> bool:
    options = arguments.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _with_usage(arguments: dict[str, Any], *, is_chat: bool) -> dict[str, Any]:
    """Return the arguments of a call that tells its usage: streamed chats do only when asked."""
    if not is_chat or arguments.get("stream") is not True:
        return arguments
    options = arguments.get("stream_options")
    given = options if isinstance(options, dict) else {}
    return {**arguments, "stream_options": {**given, "include_usage": True}}


def _hides(arguments: dict[str, Any], is_chat: bool) -> bool:  # noqa: FBT001 - of two words
    return is_chat and not _asks_usage(arguments)


def _tells_usage_alone(piece: Any) -> bool:
    return not getattr(piece, "choices", None) and getattr(piece, "usage", None) is not None
