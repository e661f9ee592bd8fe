"""How many requests each caller may send: a quota a window, off unless it is set."""

from collections import OrderedDict
from dataclasses import dataclass

CALLERS_MAX = 10_000  # Callers counted at once; whoever was counted longest ago is forgotten.


@dataclass(slots=True)
class Window:
    """What one caller has sent since a window began."""

    ends_at: float
    used: int = 0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to a caller, and how long until it is whole again."""

    quota: int
    window_seconds: int
    remaining: int
    """Less than 0: this request is one too many."""
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """The headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers)."""
        left = max(0, self.remaining)
        return {
            "RateLimit-Policy": f'"default";q={self.quota};w={self.window_seconds}',
            "RateLimit": f'"default";r={left};t={self.reset_seconds}',
        }


class RateLimit:
    """Counts requests a caller, in windows that begin with the caller's first request."""

    def __init__(self, quota: int, window_seconds: int) -> None:
        self._quota = quota
        self._window_seconds = window_seconds
        self._windows: OrderedDict[str, Window] = OrderedDict()

    def take(self, caller: str, now: float) -> Allowance:
        """Count one request."""
        window = self._windows.get(caller)
        if window is None or window.ends_at <= now:
            window = self._windows[caller] = Window(now + self._window_seconds)
            self._windows.move_to_end(caller)
            if len(self._windows) > CALLERS_MAX:
                self._windows.popitem(last=False)
        window.used += 1
        reset_seconds = max(1, round(window.ends_at - now))
        remaining = self._quota - window.used
        return Allowance(self._quota, self._window_seconds, remaining, reset_seconds)
