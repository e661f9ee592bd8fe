"""The real time, as long as it goes on as time does: a clock that jumps far ahead is not followed.

What is decided by a clock that is a year ahead cannot be taken back: days are opened, ends are
written down, keys forgotten. So a process compares the clock with the time that has passed.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

JUMP_MAX = timedelta(days=1)  # Further ahead at once, a clock is in doubt.

logger = logging.getLogger(__name__)


def wall_time() -> datetime:
    """Return what the machine's clock shows, in UTC."""
    return datetime.now(UTC)


def seconds_passed() -> float:
    """Return seconds since some moment, those in which the machine slept included."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class SteadyTime:
    """The clock, or, while it is further ahead than the time that has passed, that time."""

    def __init__(
        self,
        wall: Callable[[], datetime] = wall_time,
        passed: Callable[[], float] = seconds_passed,
    ) -> None:
        self._wall = wall
        self._passed = passed
        self._newest = wall(), passed()
        self._is_ahead = False

    def __call__(self) -> datetime:
        now, passed = self._wall(), self._passed()
        before, passed_before = self._newest
        expected = before + timedelta(seconds=passed - passed_before)
        if now - expected > JUMP_MAX:
            self._note(is_ahead=True, by=now - expected)
            return expected
        self._note(is_ahead=False, by=now - expected)
        self._newest = now, passed
        return now

    def _note(self, *, is_ahead: bool, by: timedelta) -> None:
        if is_ahead and not self._is_ahead:
            logger.error(
                "this machine's clock has jumped ahead by %s: it is not followed until it is right"
                " or this process is started again",
                by,
            )
        elif self._is_ahead and not is_ahead:
            logger.warning("this machine's clock is followed again")
        self._is_ahead = is_ahead
