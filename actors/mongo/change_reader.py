"""Reads a change stream in a thread of its own, and says what a failure of it means."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from bson.errors import BSONError
from pymongo.change_stream import DatabaseChangeStream
from pymongo.errors import OperationFailure, PyMongoError

from actors.mongo.failures import passes
from actors.protocol.store import StorageUnavailableError
from actors.sync.changes import HistoryLostError

# The server is asked at intervals and does not wait for changes itself: so it looks through what
# was written in the meantime once, and not at every commit. The embedded one needs half for it.
POLL_SECONDS = 0.2
# It looks through 1,000 entries at most for one answer, all our own writes among them. An answer
# without changes that took long may have ended before the newest: it is asked again soon.
LONG_ANSWER_SECONDS = 0.005
SOON_SECONDS = 0.01
AWAIT_MILLISECONDS = 1
PUT_SECONDS = 1.0  # How long the reader waits for room before it looks whether it is stopped.
TAKE_SECONDS = 1.0  # How long `take` waits for a first change.
BATCH_LENGTH_MAX = 2_000  # Changes taken together.
READ_AHEAD_MAX = 4_000  # Changes read and not taken yet; then the reader waits.

ENDS_HISTORY = ["drop", "rename", "dropDatabase", "invalidate"]


class StreamReader:
    """Reads one stream in a thread of its own, so that what has arrived is known at any time."""

    def __init__(
        self,
        stream: DatabaseChangeStream[dict[str, Any]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._stream = stream
        self._monotonic = monotonic
        self._arrived: queue.Queue[dict[str, Any] | PyMongoError] = queue.Queue(READ_AHEAD_MAX)
        self._stopped = threading.Event()
        self._pause = pause or self._stopped.wait
        threading.Thread(target=self._read, name="change-reader", daemon=True).start()

    def take(self) -> list[dict[str, Any]]:
        """Return what has arrived, in order. Raises HistoryLostError, StorageUnavailableError."""
        events: list[dict[str, Any]] = []
        try:
            item = self._arrived.get(timeout=TAKE_SECONDS)
            while True:
                if isinstance(item, PyMongoError):
                    raise stream_failure(item) from item
                if item["operationType"] in ENDS_HISTORY:
                    raise HistoryLostError(f"{item['operationType']} of a collection")
                events.append(item)
                if len(events) == BATCH_LENGTH_MAX:
                    break
                item = self._arrived.get_nowait()
        except queue.Empty:
            pass
        return events

    def stop(self) -> None:
        """Let the thread end, within PUT_SECONDS."""
        self._stopped.set()

    def _read(self) -> None:
        try:
            with self._stream as stream:
                while not self._stopped.is_set():
                    asked = self._monotonic()
                    event = stream.try_next()
                    if event is not None:
                        self._put(event)
                    elif not stream.alive:
                        raise OperationFailure("the stream has ended", 286)
                    else:
                        took = self._monotonic() - asked
                        self._pause(SOON_SECONDS if took > LONG_ANSWER_SECONDS else POLL_SECONDS)
        except PyMongoError as error:
            self._put(error)
        except BSONError as error:  # An event that nobody can read is passed by a new stream.
            self._put(OperationFailure(str(error), 286))

    def _put(self, item: dict[str, Any] | PyMongoError) -> None:
        while not self._stopped.is_set():
            try:
                self._arrived.put(item, timeout=PUT_SECONDS)
            except queue.Full:
                continue
            return


def stream_failure(error: PyMongoError) -> HistoryLostError | StorageUnavailableError:
    """Return what a failure of the stream means: it goes on later, or not at all."""
    lost = isinstance(error, OperationFailure) and not passes(error)
    failure = HistoryLostError(str(error)) if lost else StorageUnavailableError(str(error))
    failure.__cause__ = error
    return failure
