"""Traces, as far as they need no vendor: whether they are wanted, what travels, what is timed.

Off, which is the default, nothing of OpenTelemetry is imported and nothing is noted: all that is left of it
is one look at a context variable a request, and one at an attribute an append.
"""

import importlib.util
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:  # It imports OpenTelemetry, where that is wanted.
    from actors.runtime.otlp import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER = "opentelemetry.exporter.otlp.proto.http"
NOT_INSTALLED = "Traces are not sent: pip install 'allotment[otel]'."
STEPS_MAX = 256  # Steps of the database that are remembered: more than run while a call waits.

Parent = str
"""A sampled span, as W3C's `traceparent` writes it."""
T = TypeVar("T")
logger = logging.getLogger(__name__)

_request: ContextVar[Callable[[], Parent | None] | None] = ContextVar("request", default=None)
_message: ContextVar[Sequence[Parent] | None] = ContextVar("message", default=None)


def is_wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether traces are to be sent, by OpenTelemetry's own variables."""
    return (
        any(environ.get(name, "").strip() for name in ENDPOINTS)
        and environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        and environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() in ("", "otlp")
    )


def is_installed() -> bool:
    """Say whether the packages are there that send them."""
    try:
        return importlib.util.find_spec(EXPORTER) is not None
    except ImportError:  # Of a package around it.
        return False


def tracer_for(part: str, environ: Mapping[str, str] = os.environ) -> "Tracer | None":
    """Return what sends this process's spans; None where they are not wanted, or cannot be sent."""
    if not is_wanted(environ):
        return None
    try:
        from actors.runtime.otlp import Tracer, exporting  # noqa: PLC0415 - see above

        return Tracer(part, exporting())
    except ImportError:
        logger.warning(NOT_INSTALLED)
    except ValueError as error:  # A variable of OpenTelemetry's own is wrong: charges go on.
        logger.warning("Traces are not sent: %s", error)
    return None


# --- what travels -------------------------------------------------------------------------


def enter(request: Callable[[], Parent | None]) -> Token[Callable[[], Parent | None] | None]:
    """Have what follows be done for a request; return what `leave` takes."""
    return _request.set(request)


def leave(token: Token[Callable[[], Parent | None] | None]) -> None:
    """End what `enter` began."""
    _request.reset(token)


def carried() -> Parent | None:
    """Return the span of the request for which this is done; None where it has none."""
    request = _request.get()
    return None if request is None else request()


def load(parents: Sequence[Parent | None]) -> None:
    """Say for which requests this task's next message is: it has gathered calls of many."""
    _message.set(tuple(filter(None, dict.fromkeys(parents))))


def travelling() -> Sequence[Parent]:
    """Return the spans of the requests for which a message is, each once."""
    parents = _message.get()
    if parents is not None:
        return parents
    one = carried()
    return () if one is None else (one,)


# --- what is timed ------------------------------------------------------------------------


class Step(NamedTuple):
    """One step of the database. Times are nanoseconds since 1970."""

    name: str
    began: int
    ended: int
    error: str | None
    """The class of what was raised."""


class DatabaseSteps:
    """The newest steps that one loop has waited for."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._steps: deque[Step] = deque(maxlen=STEPS_MAX)

    async def timed(self, name: str, step: Awaitable[T]) -> T:
        """Return what a step returns, and note it."""
        began, error = self._clock(), None
        try:
            return await step
        except Exception as raised:
            error = type(raised).__name__
            raise
        finally:
            self._steps.append(Step(name, began, self._clock(), error))

    def between(self, began: int, ended: int) -> list[Step]:
        """Return the steps that lie between two instants."""
        return [step for step in self._steps if began <= step.began and step.ended <= ended]
