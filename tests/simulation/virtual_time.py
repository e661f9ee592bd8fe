"""An event loop whose clock jumps to the next timer, and whose blocking calls take no thread.

Everything runs in one thread in an order that the seed alone decides. A blocking call happens
at one instant between its asking and its answer, and happens also if nobody waits for it any
more: so it is with a thread, and with a request that is on its way to a database.
"""

import asyncio
import math
import random
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar, TypeVarTuple, Unpack

QUICK_SECONDS = 0.002  # Usual way of a blocking call, there or back.
TURNS_MAX = 300_000  # No simulation needs so many turns of the loop.
SLOW_SECONDS = 1.5  # Longest way of a slow one.


class Process(Protocol):
    """Who makes a blocking call: a process that may die before, amid or after it."""

    def asks(self) -> None:
        """Note that a blocking call begins."""

    def reaches(self) -> bool:
        """Say whether a call that was asked for comes to be done."""

    def hears(self) -> None:
        """Note that a blocking call has been done; its answer is on the way."""


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class StandstillError(Exception):
    """Everybody waits for somebody else: no timer is left. Or it goes on for ever."""


class _JumpingSelector:
    def __init__(self) -> None:
        self.now = 0.0
        self._turns = 0

    def select(self, timeout: float | None) -> list[Any]:
        self._turns += 1
        if timeout is None or self._turns > TURNS_MAX:
            raise StandstillError(f"after {self._turns} turns and {self.now:.0f} seconds")
        self.now += max(timeout, 0.0)
        return []

    def close(self) -> None:
        pass


Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class VirtualLoop(asyncio.BaseEventLoop):
    """`share_of_slow_calls` is the part of blocking calls that takes long."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._selector = _JumpingSelector()
        self._dice = dice
        self.share_of_slow_calls = 0.0
        self.asked_at = math.inf
        """When the blocking call began that is being done, if one is."""
        self._lingers = 0.0
        self._paused_until = 0.0

    def linger(self, seconds: float) -> None:
        """Let the blocking call that is being done take so much longer to answer."""
        self._lingers = seconds

    def pause(self, until: float) -> None:
        """Let no blocking call be done before an instant: they wait."""
        self._paused_until = until

    def time(self) -> float:
        return self._selector.now

    def run_in_executor(
        self,
        executor: Executor | None,
        func: "Callable[[Unpack[Arguments]], Result]",
        *args: *Arguments,
    ) -> "asyncio.Future[Result]":
        answer: asyncio.Future[Result] = self.create_future()
        process = PROCESS.get()
        if process is not None:
            process.asks()
        self.call_later(self._way(), self._do, self.time(), process, func, args, answer)
        return answer

    def _do(
        self,
        asked_at: float,
        process: Process | None,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        answer: "asyncio.Future[Any]",
    ) -> None:
        if self.time() < self._paused_until:
            self.call_at(
                self._paused_until + self._way(), self._do, asked_at, process, func, args, answer
            )
            return
        if process is not None and not process.reaches():
            return
        self.asked_at = asked_at
        try:
            result, error = func(*args), None
        except Exception as failure:  # noqa: BLE001 - it is the caller's, as a thread's is
            result, error = None, failure
        self.asked_at = math.inf
        if process is not None:
            process.hears()
        back, self._lingers = self._way() + self._lingers, 0.0
        self.call_later(back, _settle, answer, result, error)

    def _way(self) -> float:
        if self._dice.random() < self.share_of_slow_calls:
            return self._dice.uniform(0, SLOW_SECONDS)
        return self._dice.uniform(0, QUICK_SECONDS)

    def _process_events(self, event_list: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def _settle(answer: "asyncio.Future[Any]", result: object, error: Exception | None) -> None:
    if answer.done():  # Nobody waits for it any more.
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
