"""How long to wait before something that failed is tried again."""

import random

DOUBLED_MAX = 30  # Any two limits are less than so many doublings apart.


def backoff(failures: int, shortest: float, longest: float) -> float:
    """Return seconds to wait: `shortest` after no failure before, doubled for each, with jitter.

    No more than `longest`; jitter shortens it by up to a half.
    """
    seconds = min(shortest * 2.0 ** min(failures, DOUBLED_MAX), longest)
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
