"""A replica set in memory: what its primary has, and what a majority has, which reads are given.

They differ while the majority stalls. What is written then is in doubt: it becomes the majority's
at the end of the stall, or is rolled back. Who is in doubt reads nothing before.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

from actors.cluster.resharding import Plan
from actors.protocol.directory import Directory
from actors.protocol.store import StorageUnavailableError
from tests.fakes.memory_store import MemoryStore
from tests.simulation.virtual_time import PROCESS, Process

CONFIRMED = ("beat", "mark_clean")  # Calls that do nothing where a majority does not confirm them.
DICTS = ("journal", "_keys", "_marks", "_clean")
VALUES = ("table", "plan")  # They are replaced, never changed.


class ReplicatedStore(MemoryStore):
    """A `MemoryStore` whose reads are given what a majority has."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Directory | None = None
        self.plan: Plan | None = None
        self.stalls = self.rollbacks = 0
        self._majority: dict[str, Any] | None = None
        self._doubtful: list[Process | None] = []
        self._unconfirmed: list[Callable[[], None]] = []

    @property
    def is_stalled(self) -> bool:
        return self._majority is not None

    def stall(self) -> int:
        """Let nothing be confirmed from here on. Returns which stall it is."""
        self.stalls += 1
        self._majority = self.copied()
        return self.stalls

    def copied(self) -> dict[str, Any]:
        """Return what the primary has."""
        state: dict[str, Any] = {name: dict(getattr(self, name)) for name in DICTS}
        state |= {name: getattr(self, name) for name in VALUES}
        return state | {"collections": copy.deepcopy(self.collections)}

    def end_stall(self, *, rolled_back: bool) -> None:
        """Let the majority have what was written meanwhile, or nobody."""
        majority, self._majority = self._majority, None
        unconfirmed, self._unconfirmed = self._unconfirmed, []
        self._doubtful.clear()
        if majority is None:
            return
        if rolled_back:
            self.rollbacks += 1
            self._replace(majority)
            return
        for confirm in unconfirmed:
            confirm()

    def doubt(self) -> None:
        """Have the process that calls wait for the end of a stall with whatever it reads."""
        if self.is_stalled:
            self._doubtful.append(PROCESS.get())

    def note_unconfirmed(self, confirm: Callable[[], None]) -> None:
        """Note what is to be told once a majority has what was written just now."""
        self._unconfirmed.append(confirm)

    def confirm(self, call: str) -> None:
        """Answer what was written just now. Raises StorageUnavailableError: no majority has it."""
        if self.is_stalled:
            raise StorageUnavailableError(call) from ConnectionError("no majority confirms it")

    def enter(self, call: str) -> None:
        super().enter(call)
        if call in CONFIRMED:
            self.confirm(call)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Show what a majority has. Raises StorageUnavailableError: who reads is in doubt."""
        if PROCESS.get() in self._doubtful:
            raise StorageUnavailableError("in doubt") from ConnectionError("no majority")
        with self.as_of_majority(causally=True):
            yield

    @contextlib.contextmanager
    def as_of_majority(self, *, causally: bool = False) -> Iterator[None]:
        """Show what a majority has, whoever reads; `causally`: after what it has written."""
        majority, shown = self._majority, self._shown(causally=causally)
        if shown is None:
            yield
            return
        local = {name: getattr(self, name) for name in shown}
        self._majority = None
        self._replace(shown)
        try:
            yield
        finally:
            self._replace(local)
            self._majority = majority

    def _shown(self, *, causally: bool) -> dict[str, Any] | None:
        """Return the state that a read is given; None: what the primary has."""
        return self._majority

    def _replace(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
