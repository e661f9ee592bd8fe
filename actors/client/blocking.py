"""Allotment from Python: `Allotment` for programs that block, `AsyncAllotment` for asyncio."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from actors.client.asynchronous import TIMEOUT_SECONDS, AsyncAllotment
from actors.client.holds import Holding
from actors.remote.options import NAMESPACE
from domain.events import EventRecord, EventType

__all__ = ["Allotment", "AsyncAllotment"]

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncAllotment, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Allotment", P], T]:
    """Return the method of the same name and arguments that waits for its answer."""

    def call(self: "Allotment", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.wait(method(self.client, *args, **kwargs))

    call.__name__ = method.__name__
    call.__doc__ = method.__doc__
    return call


class Allotment:
    """Allotment for programs that block. Its calls run on one event loop in a thread of its own.

    Every method is `AsyncAllotment`'s, with the same arguments, answers and errors.
    """

    def __init__(
        self, client: AsyncAllotment, loop: asyncio.AbstractEventLoop, thread: threading.Thread
    ) -> None:
        self.client = client
        self._loop = loop
        self._thread = thread

    @classmethod
    def connect(
        cls,
        address: str = "auto",
        namespace: str = NAMESPACE,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Self:
        """Join the Ray cluster at `address`. `timeout_seconds` holds for every method."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="allotment", daemon=True)
        thread.start()
        client = AsyncAllotment.connect(address, namespace, timeout_seconds)
        return cls(asyncio.run_coroutine_threadsafe(client, loop).result(), loop, thread)

    def close(self) -> None:
        """Stop the thread. The Ray cluster stays joined."""
        self.wait(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait(self, answer: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns, run on the client's loop."""
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result()

    def events(
        self,
        types: Collection[EventType | str] = (),
        user_id: str | None = None,
        after: str | None = None,
    ) -> Iterator[EventRecord]:
        """Yield events as they come, for ever: `AsyncAllotment.events`."""
        stream = self.client.events(types, user_id, after)
        while True:
            yield self.wait(_next(stream))

    check_daily_allocation = _blocking(AsyncAllotment.check_daily_allocation)
    check_daily_allocations = _blocking(AsyncAllotment.check_daily_allocations)
    get_or_create_daily_credits = _blocking(AsyncAllotment.get_or_create_daily_credits)
    add_credit = _blocking(AsyncAllotment.add_credit)
    record_usage = _blocking(AsyncAllotment.record_usage)
    record_usages = _blocking(AsyncAllotment.record_usages)
    get_usage = _blocking(AsyncAllotment.get_usage)
    get_monthly_usage = _blocking(AsyncAllotment.get_monthly_usage)
    get_recent_usage = _blocking(AsyncAllotment.get_recent_usage)
    get_subscriptions = _blocking(AsyncAllotment.get_subscriptions)
    hold = _blocking(AsyncAllotment.hold)
    settle = _blocking(AsyncAllotment.settle)
    release = _blocking(AsyncAllotment.release)
    reverse = _blocking(AsyncAllotment.reverse)
    adjust = _blocking(AsyncAllotment.adjust)
    get_holds = _blocking(AsyncAllotment.get_holds)
    sync = _blocking(AsyncAllotment.sync)
    validate = _blocking(AsyncAllotment.validate)
    anonymize = _blocking(AsyncAllotment.anonymize)
    check_and_update_expired_subscriptions = _blocking(
        AsyncAllotment.check_and_update_expired_subscriptions
    )

    @contextlib.contextmanager
    def holding(
        self, user_id: str, service_type: str, credit_amount: int, *, expires_in: int = 300
    ) -> Iterator[Holding]:
        """Hold credits for a block: `AsyncAllotment.holding` for programs that block."""
        block = self.client.holding(user_id, service_type, credit_amount, expires_in=expires_in)
        holding = self.wait(block.__aenter__())
        try:
            yield holding
        except BaseException as error:
            self.wait(block.__aexit__(type(error), error, error.__traceback__))
            raise
        self.wait(block.__aexit__(None, None, None))


async def _next(stream: AsyncIterator[EventRecord]) -> EventRecord:
    return await anext(stream)


async def _cancel_others() -> None:
    """End what runs on this loop beside this."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
