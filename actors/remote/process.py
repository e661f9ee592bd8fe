"""What the processes of all our actors are made of: the database, loops, signs of life, a clock.

Each actor's shell adds its plain logic. Arguments of actors are pickled and clients are not: so all
is built in the constructor, from settings, in the process itself.
"""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta

from actors.mongo.clock import MongoClock
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import SOCKET_SECONDS, Documents
from actors.mongo.stored_format import MongoFormats
from actors.protocol.store import StorageUnavailableError
from actors.remote.metrics import C, CounterMetrics, publish_forever
from actors.remote.options import RETRY_SECONDS
from actors.runtime.clock import ServiceClock
from actors.runtime.format_watch import FormatWatch
from actors.runtime.loops import Loops
from actors.runtime.steps_in_hand import StepsInHand
from actors.settings import Settings

NICENESS = 10  # Where cores are short, who decides comes first.
NICENESS_OF_EVENTS = 5  # Those who are told are still told soon.


def stand_back(niceness: int = NICENESS) -> None:
    """Leave the processor to those who decide: on Linux, this thread and those that it starts do."""
    os.nice(niceness)


def open_database(
    settings: Settings, *, socket_seconds: float | None = SOCKET_SECONDS
) -> Documents:
    """Return the service's database; how long a call waits for one answer is as in `connect`."""
    assert settings.mongo_uri is not None, "whoever starts a process of ours names its database"
    uri = settings.mongo_uri.get_secret_value()
    return connect(uri, settings.mongo_db, socket_seconds=socket_seconds)


class Process:
    """An actor's process. A restart runs its constructor again, and nothing else: all begins there.

    Ray starts a process again that ended, but not one whose constructor raised.
    """

    def __init__(self, name: str, settings: Settings, *, waits_for_format: bool = True) -> None:
        """`waits_for_format`: no loop begins before the documents are of our format."""
        self.name = name
        self._settings = settings
        self._database = open_database(settings)
        self._format = FormatWatch(name, MongoFormats(self._database))
        self._loops = Loops(name, self._format if waits_for_format else None)
        self._steps: list[StepsInHand] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    async def ping(self) -> str | None:
        """Return what stands still; None: the loop turns, and all goes on."""
        return next(filter(None, (steps.standstill() for steps in self._steps)), None)

    async def close(self) -> None:
        """End the loops: what they leave undone is found at the next start."""
        await self._loops.stop()

    def _publish(self, part: str, name: str, zero: C, read: Callable[[], C]) -> None:
        """Have what `read` returns published as metrics, as long as the process lives."""

        async def publish() -> None:
            metrics = CounterMetrics(part, name, zero)
            await publish_forever(lambda: metrics.publish(read()))

        self._loops.start(publish())


class TimedProcess(Process):
    """One that decides by the service's clock, which may have been set forward."""

    def __init__(self, name: str, settings: Settings, *, waits_for_format: bool = True) -> None:
        """As that of `Process`."""
        super().__init__(name, settings, waits_for_format=waits_for_format)
        self._clock = ServiceClock()

    async def set_clock(self, ahead: timedelta) -> None:
        """Be so far ahead of the real time from now on; what is due then is done now."""
        self._clock.set_forward(ahead)

    async def _read_clock(self) -> None:
        """Take up how far a test clock was set. Raises StorageUnavailableError."""
        if self._settings.test_clock:
            ahead = await asyncio.to_thread(MongoClock(self._database).offset)
            self._clock.set_forward(ahead)

    async def _know_the_time(self) -> None:
        """Return once the clock shows the service's time."""
        while True:
            try:
                return await self._read_clock()
            except StorageUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
