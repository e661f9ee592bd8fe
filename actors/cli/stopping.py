"""Whether a command was asked to end, by SIGINT or SIGTERM."""

import contextlib
import queue
import signal
from typing import Self


class Stopping:
    """Set by a signal, and waited for by the thread that the signal interrupts.

    A handler runs amid whatever its thread does, so it may take no lock that this thread holds: that
    of a `threading.Event` would wait for itself for ever. `SimpleQueue.put` is made for handlers.
    """

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()

    @classmethod
    def by_signals(cls) -> Self:
        """Return what SIGINT and SIGTERM set from now on, instead of ending the process."""
        stopping = cls()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.ask())
        return stopping

    def ask(self) -> None:
        """Ask for the end."""
        self._asked.put(None)

    def is_asked(self) -> bool:
        """Say whether the end was asked for."""
        return not self._asked.empty()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for it, so long at most; return whether it was asked for."""
        with contextlib.suppress(queue.Empty):
            self._asked.get(timeout=seconds)
            self.ask()
        return self.is_asked()
