"""Reads the subscriptions of all users once for all shards that want theirs, and hands them out by slot.

Shards that ask shortly after each other, as at a start, share a pass. Who asks while one goes on waits for the next
one: what is handed out is never older than the question. A pass is as fast as the slowest of its shards.
"""

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from actors.protocol.directory import slot_of
from actors.protocol.store import Moment, StorageUnavailableError
from actors.shard.warm_start import Owned

GATHER_SECONDS = 1.0  # A pass begins once no shard has asked for so long:
GATHERS_MAX = 5  # but after so many times as long at the latest.
SUBSCRIPTIONS_PER_PART = 1_000  # Handed out together, and looked up by the shard together,
PART_BYTES_MAX = 1024 * 1024  # or fewer, where they are long.
PARTS_WAITING_MAX = 2  # Of one shard; then the pass waits for it,
SEAT_SECONDS_MAX = 30.0  # up to here: then it goes on without.

PASSED_OVER = "the pass has gone on without this shard"

logger = logging.getLogger(__name__)

Read = Callable[[Iterable[Moment | None]], Generator[Sequence[Owned]]]
"""Yields all subscriptions as they were at these moments or later. See `AllSubscriptions.batches`."""

Part = Sequence[Owned] | StorageUnavailableError | None
"""Some users' subscriptions; what ended the pass; None: these were all."""


class _Seat:
    """One shard's place in a pass."""

    def __init__(self, slots: Collection[int], moment: Moment | None) -> None:
        self.slots = slots
        self.moment = moment
        self.parts: asyncio.Queue[Part] = asyncio.Queue(PARTS_WAITING_MAX)
        self.is_left = False
        """Whether nothing more is handed out: its shard has left, or has taken nothing for too long."""
        self._gathered: list[Owned] = []
        self._subscriptions = self._bytes = 0

    async def give(self, owned: Owned) -> None:
        self._gathered.append(owned)
        self._subscriptions += len(owned.subscriptions)
        self._bytes += sum(map(len, owned.subscriptions))
        if self._subscriptions >= SUBSCRIPTIONS_PER_PART or self._bytes >= PART_BYTES_MAX:
            await self._hand_out()

    async def end(self, with_what: StorageUnavailableError | None = None) -> None:
        if self._gathered and with_what is None:
            await self._hand_out()
        await self._put(with_what)

    def leave(self) -> None:
        self.is_left = True
        while not self.parts.empty():  # A pass may wait for room,
            self.parts.get_nowait()
        self.parts.put_nowait(StorageUnavailableError(PASSED_OVER))  # or somebody for a part.

    async def _hand_out(self) -> None:
        part, self._gathered = self._gathered, []
        self._subscriptions = self._bytes = 0
        await self._put(part)

    async def _put(self, part: Part) -> None:
        if self.is_left:
            return
        try:
            async with asyncio.timeout(SEAT_SECONDS_MAX):
                await self.parts.put(part)
        except TimeoutError:
            self.leave()


class SharedReading:
    """Passes over all subscriptions, one after the other."""

    def __init__(
        self, read: Read, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._read = read
        self._sleep = sleep
        self._seats: dict[str, _Seat] = {}
        self._seat_of: dict[str, str] = {}
        """By shard."""
        self._waiting: list[_Seat] = []
        self._passes: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="subscriptions")

    def join(self, shard: str, slots: Collection[int], moment: Moment | None) -> str:
        """Have a part in the next pass: the subscriptions of these slots. Returns the seat's name.

        No other process has a seat of this name. The seat that the shard had until now is left.
        """
        if shard in self._seat_of:
            self.leave(self._seat_of[shard])
        name = self._seat_of[shard] = secrets.token_hex(8)
        seat = self._seats[name] = _Seat(slots, moment)
        self._waiting.append(seat)
        if self._passes is None or self._passes.done():
            self._passes = asyncio.create_task(self._run())
        return name

    async def part(self, name: str) -> Sequence[Owned] | None:
        """Return what comes next for a seat; None: there is no more.

        Raises StorageUnavailableError: join anew.
        """
        seat = self._seats.get(name)
        if seat is None or seat.is_left:
            raise StorageUnavailableError(PASSED_OVER)
        part = await seat.parts.get()
        if isinstance(part, StorageUnavailableError):
            raise part
        return part

    def leave(self, name: str) -> None:
        """Want nothing more for a seat."""
        seat = self._seats.pop(name, None)
        if seat is not None:
            seat.leave()

    async def _run(self) -> None:
        while self._waiting:
            await self._gather()
            seats, self._waiting = self._waiting, []
            end: StorageUnavailableError | None = None
            try:
                await self._pass(seats)
            except StorageUnavailableError as error:
                end = error
            except Exception:
                logger.exception("subscriptions cannot be read for the shards")
                end = StorageUnavailableError("the pass has failed")
            await asyncio.gather(*(seat.end(end) for seat in seats))

    async def _gather(self) -> None:
        """Return once no shard has asked for a moment."""
        asked = 0
        for _ in range(GATHERS_MAX):
            if len(self._waiting) == asked:
                return
            asked = len(self._waiting)
            await self._sleep(GATHER_SECONDS)

    async def _pass(self, seats: Sequence[_Seat]) -> None:
        by_slot: dict[int, list[_Seat]] = defaultdict(list)
        for seat in seats:
            for slot in seat.slots:
                by_slot[slot].append(seat)
        loop = asyncio.get_running_loop()
        batches = self._read([seat.moment for seat in seats])
        try:
            while not all(seat.is_left for seat in seats):
                batch = await loop.run_in_executor(self._thread, next, batches, None)
                if batch is None:
                    break
                for owned in batch:
                    for seat in by_slot.get(slot_of(owned.user_id), ()):
                        await seat.give(owned)
        finally:
            await loop.run_in_executor(self._thread, batches.close)
