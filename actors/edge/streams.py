"""Who may keep how many event streams open at one replica: nobody has all of them."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as Asgi

from actors.auth.caller import Caller, Scope
from actors.edge.problems import RequestRefused, make_problem
from actors.protocol.errors import OverloadedError

STREAMS_MAX = 500  # Streams one replica keeps open; beyond this, `overloaded`.
STREAMS_FOR_ADMINS = 50  # Of these no user's token gets any.
STREAMS_OF_A_KEY = 100  # Of one key; beyond this, `rate_limited`.
STREAMS_OF_A_USER = 10  # Of one user's tokens: a stream a tab and a device.
RETRY_SECONDS = 5


class StreamPlaces:
    """The streams of one process, by their callers."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many are open."""
        return self._open.total()

    def take(self, caller: Caller) -> Callable[[], None]:
        """Count one more stream of a caller; return what gives its place back, however often called.

        Raises RequestRefused: the caller has its share. OverloadedError: there is no place left.
        """
        is_admin = caller.has_for_all(Scope.ADMIN)
        share = STREAMS_OF_A_USER if caller.scope is None else STREAMS_OF_A_KEY
        if self._open[caller.name] >= share:
            title = f"This caller has {share} event streams open already"
            problem = make_problem("rate_limited", title)
            raise RequestRefused(problem, {"Retry-After": str(RETRY_SECONDS)})
        if self.count >= STREAMS_MAX - (0 if is_admin else STREAMS_FOR_ADMINS):
            raise OverloadedError
        self._open[caller.name] += 1
        given_back = contextlib.ExitStack()
        given_back.callback(self._give_back, caller.name)
        return given_back.close

    def _give_back(self, name: str) -> None:
        self._open[name] -= 1
        if not self._open[name]:
            del self._open[name]


class CountedStream(StreamingResponse):
    """A stream that gives its place back when it ends, begun or not."""

    def __init__(
        self, give_back: Callable[[], None], content: AsyncIterator[bytes], **options: Any
    ) -> None:
        super().__init__(content, **options)
        self._give_back = give_back

    async def __call__(self, scope: Asgi, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._give_back()
