"""The way between processes: it loses questions and answers, is slow, and says things twice."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from actors.protocol.calls import Envelope, Reply
from actors.protocol.changes import Changes, Stamp
from actors.protocol.directory import Directory
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import Query
from tests.simulation.processes import ShardProcess
from tests.simulation.virtual_time import VirtualLoop

QUICK_SECONDS = 0.002
DIRECTORY_SECONDS_MAX = 3.0  # As the way through Ray has it.
LONG_SECONDS = 7.0  # Longer than callers wait: the message arrives after it was repeated.

T = TypeVar("T")


@dataclass
class Troubles:
    """Shares of messages that meet trouble."""

    lost_questions: float = 0.0
    lost_answers: float = 0.0
    silent_losses: float = 0.0
    """Of what is lost: nobody is told, the caller waits in vain."""
    late: float = 0.0
    repeated: float = 0.0


class Network:
    """`Shards` and `FollowingShards` over the processes that `owners` names."""

    def __init__(
        self,
        loop: VirtualLoop,
        dice: random.Random,
        owners: Callable[[int], list[ShardProcess]],
    ) -> None:
        """`owners` returns the incarnations of a shard that run; the named one first."""
        self.troubles = Troubles()
        self._loop = loop
        self._dice = dice
        self._owners = owners
        self._couriers: set[asyncio.Task[None]] = set()

    def heal(self) -> None:
        self.troubles = Troubles()

    async def send(self, index: int, envelope: Envelope) -> list[Reply]:
        # Whoever sends a call of his own key may say it twice; nobody else does before a repeat.
        may_repeat = all(call.keep_refusal for call in envelope.calls)

        async def handle(process: ShardProcess) -> list[Reply]:
            return await (await process.shard).handle(envelope)

        return await self.ask(index, handle, may_repeat=may_repeat, any_owner=True)

    async def query(self, index: int, version: int, query: Query) -> Reply:
        raise NotImplementedError("lists are not simulated")

    async def directory(self) -> Directory:
        try:
            async with asyncio.timeout(DIRECTORY_SECONDS_MAX):
                return await self.ask(0, ShardProcess.directory)
        except TimeoutError as error:
            raise ShardLostError from error

    async def follow(self, index: int, changes: Changes) -> Stamp | None:
        def follow(process: ShardProcess) -> Coroutine[Any, Any, Stamp | None]:
            return process.follow(changes)

        return await self.ask(index, follow, may_repeat=True)

    async def ask(
        self,
        index: int,
        question: Callable[[ShardProcess], Coroutine[Any, Any, T]],
        *,
        may_repeat: bool = False,
        any_owner: bool = False,
    ) -> T:
        answer: asyncio.Future[T] = self._loop.create_future()
        self._carry(index, question, answer, any_owner=any_owner)
        if may_repeat and self._strikes(self.troubles.repeated):
            self._carry(index, question, self._loop.create_future(), any_owner=any_owner)
        return await answer

    def _carry(
        self,
        index: int,
        question: Callable[[ShardProcess], Coroutine[Any, Any, T]],
        answer: "asyncio.Future[T]",
        *,
        any_owner: bool,
    ) -> None:
        courier = self._loop.create_task(self._deliver(index, question, answer, any_owner))
        self._couriers.add(courier)
        courier.add_done_callback(self._couriers.discard)

    async def _deliver(
        self,
        index: int,
        question: Callable[[ShardProcess], Coroutine[Any, Any, T]],
        answer: "asyncio.Future[T]",
        any_owner: bool,
    ) -> None:
        late = self._strikes(self.troubles.late)
        await asyncio.sleep(self._dice.uniform(0, LONG_SECONDS if late else QUICK_SECONDS))
        owners = self._owners(index)
        if not owners or self._strikes(self.troubles.lost_questions):
            self._lose(answer)
            return
        process = self._dice.choice(owners) if any_owner else owners[0]
        task = process.spawn(question(process))
        await asyncio.wait([task])
        await asyncio.sleep(self._dice.uniform(0, QUICK_SECONDS))
        if not task.cancelled() and (error := task.exception()) is not None:
            process.report(error)
            self._lose(answer)
        elif task.cancelled() or self._strikes(self.troubles.lost_answers):
            self._lose(answer)
        elif not answer.done():
            answer.set_result(task.result())

    def _lose(self, answer: "asyncio.Future[Any]") -> None:
        if not answer.done() and not self._strikes(self.troubles.silent_losses):
            answer.set_exception(ShardLostError("lost on the way"))
            answer.exception()  # It is looked at, whether or not the caller is there still.

    def _strikes(self, share: float) -> bool:
        return self._dice.random() < share
