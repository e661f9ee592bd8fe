"""The HTTP interface on backends that come and go: its routes take longer to build than most tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from actors.edge.app import build_app
from actors.edge.backend import Backend
from actors.edge.gate import Gate

KEPT = frozenset({"audit", "endpoints", "key_desk", "router", "service_settings", "stripe"})
"""The parts of a backend that routes keep from when they are built on."""


class Stage:
    """Stands before the routes as their backend: the one that is on it now answers."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def __getattr__(self, name: str) -> Any:
        return Part(self, name) if name in KEPT else getattr(self.backend, name)


class Part:
    """A part of whatever backend is on the stage."""

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage = stage
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(self._stage.backend, self._name), name)


FREE: list[tuple[Stage, Gate]] = []
"""Routes that were built in this process, and that nobody uses now."""


@contextmanager
def served(backend: Backend) -> Iterator[Gate]:
    """Yield the whole HTTP interface on a backend whose users' page is not set up."""
    stage, built = FREE.pop() if FREE else on_stage(backend)
    stage.backend = backend
    yield Gate(built._app, backend, built._operations)
    FREE.append((stage, built))


def on_stage(backend: Backend) -> tuple[Stage, Gate]:
    """Build the routes."""
    stage = Stage(backend)
    return stage, build_app(cast("Backend", stage))
