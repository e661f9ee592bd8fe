"""The steps of a start: how long one may take, how often it is tried, how its failure is told."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from ray.exceptions import GetTimeoutError, RayError

START_SECONDS_MAX = 180.0
"""How long an actor may take to start: on an idle machine two seconds, a hundred times less than
where twenty other programs want each core."""
ATTEMPTS_MAX = 3  # How often what Ray starts is tried.

T = TypeVar("T")


class CannotStartError(Exception):
    """The service cannot start. The message is one sentence for an operator."""


@contextlib.contextmanager
def starting(what: str) -> Iterator[None]:
    """Tell Ray's failures in the block in a sentence of ours. Raises CannotStartError."""
    try:
        yield
    except GetTimeoutError as error:
        raise CannotStartError(
            f"{what} did not start within {START_SECONDS_MAX:.0f} seconds ({load()})."
        ) from error
    except (RayError, ConnectionError, RuntimeError, TimeoutError) as error:
        raise CannotStartError(f"{what} did not start: {first_sentence(error)}.") from error


def attempt(what: str, start: Callable[[], T], tell: Callable[[str], None]) -> T:
    """Return what `start` returns, which leaves nothing behind where it fails.

    It is tried ATTEMPTS_MAX times, and `tell` told of each but the first, and why. Raises
    CannotStartError, as `start` may where another try cannot help.
    """
    for number in range(1, ATTEMPTS_MAX + 1):
        try:
            return start()
        except CannotStartError:
            raise
        except Exception as error:  # noqa: BLE001 - Ray raises Exception itself where it is slow
            cause = error
            if number < ATTEMPTS_MAX:
                why = first_sentence(error)
                tell(f"{what} again, attempt {number + 1} of {ATTEMPTS_MAX}: {why}")
    raise CannotStartError(
        f"{what} did not start in {ATTEMPTS_MAX} attempts ({load()}): {first_sentence(cause)}."
    ) from cause


def first_sentence(error: BaseException) -> str:
    """Return how an error's message begins: after that, Ray quotes its logs and traces."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].partition(". ")[0].rstrip(".: ")


def load() -> str:
    """Return how busy the machine is."""
    return f"load average {os.getloadavg()[0]:.0f}, {os.cpu_count()} cores"
