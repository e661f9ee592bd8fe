"""What a process has in hand, and since when: so that one which stands still is found.

Every call to the database has a limit of its own, far below those here. What is not over within
these waits for something that does not come: a lost answer, a lock, a thread that ended.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

STEP_SECONDS_MAX = 240.0  # A batch may be decided again and again, each time for a call's limit.


class _Step(NamedTuple):
    name: str
    began: float
    until: float


class StepsInHand:
    """The steps that one process is taking now."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` returns seconds, and never goes back."""
        self._monotonic = monotonic
        self._steps: dict[object, _Step] = {}

    @contextlib.contextmanager
    def step(self, name: str, seconds_max: float = STEP_SECONDS_MAX) -> Iterator[None]:
        """Have a step in hand as long as the block."""
        began = self._monotonic()
        ticket = object()
        self._steps[ticket] = _Step(name, began, began + seconds_max)
        try:
            yield
        finally:
            del self._steps[ticket]

    def standstill(self) -> str | None:
        """Return which step is not over in time, and for how long it has been in hand."""
        now = self._monotonic()
        late = [step for step in self._steps.values() if now > step.until]
        if not late:
            return None
        oldest = min(late, key=lambda step: step.began)
        return f"{oldest.name}, for {now - oldest.began:.0f} seconds"
