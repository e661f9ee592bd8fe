"""Waits for a service that starts, from outside: until /readyz says that all its parts answer."""

import contextlib
import time
from http import HTTPStatus

import httpx

from actors.cli.stopping import Stopping
from actors.cli.terminal import HTTP_SECONDS_MAX, fail

READY_SECONDS_MAX = 180.0  # How long all parts may take to answer, once they have started.
READY_PAUSE_SECONDS = 0.1


def wait_until_ready(address: str, stopping: Stopping) -> None:
    """Return when /readyz answers 200, or when the service is to stop."""
    missing = "HTTP"
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{address}/readyz", timeout=HTTP_SECONDS_MAX)
        except httpx.HTTPError:
            missing = "HTTP"
        else:
            if answer.status_code == HTTPStatus.OK:
                return
            missing = missing_parts(answer)
        if stopping.wait(READY_PAUSE_SECONDS):
            return
    fail(f"The service was not ready within {READY_SECONDS_MAX:.0f} seconds: {missing} is missing.")


def missing_parts(answer: httpx.Response) -> str:
    """Return which parts of a service that is not ready are missing, as its answer says."""
    with contextlib.suppress(ValueError, AttributeError):
        return ", ".join(answer.json().get("missing", ())) or "HTTP"
    return "HTTP"
