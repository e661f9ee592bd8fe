"""Rates of sums: what shards count since their start, as so much a minute."""

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

SAMPLES_MAX = 150
WINDOW_SECONDS = 60.0
COUNTED = ("charges", "credits_charged", "writes", "refusals", "reads")


class Sample(NamedTuple):
    """The sums of all shards at one moment."""

    at: float
    """Seconds of a clock that only goes forward."""
    sums: dict[str, int]


class Rates:
    """The newest samples, and what they mean a minute."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)

    def note(self, at: float, shards: Sequence[Mapping[str, int]]) -> None:
        """Take a sample. A sum that has fallen is of a process that started again: begin anew."""
        known = [name for name in COUNTED if all(name in one for one in shards)]
        sums = {name: sum(one[name] for one in shards) for name in known}
        if self._samples and _goes_back(self._samples[-1].sums, sums):
            self._samples.clear()
        self._samples.append(Sample(at, sums))

    def a_minute(self, name: str) -> float | None:
        """Return the rate over the last minute, or as far as it is known; None: not known yet."""
        if len(self._samples) < 2 or name not in self._samples[-1].sums:
            return None
        last = self._samples[-1]
        first = next(one for one in self._samples if last.at - one.at <= WINDOW_SECONDS)
        if first is last:
            first = self._samples[-2]
        return _rate(first, last, name)

    def course(self, name: str) -> list[float]:
        """Return the rates between samples, oldest first; none of what is not counted."""
        if not self._samples or name not in self._samples[-1].sums:
            return []
        return [_rate(*pair, name) for pair in itertools.pairwise(self._samples)]


def _goes_back(before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    return before.keys() != after.keys() or any(after[name] < before[name] for name in after)


def _rate(first: Sample, last: Sample, name: str) -> float:
    seconds = max(last.at - first.at, 0.001)
    return (last.sums[name] - first.sums[name]) * 60 / seconds
