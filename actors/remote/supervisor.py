"""Puts Ray under the supervisor: it watches the actors of ours that there are."""

import contextlib
import threading
from collections.abc import Iterator
from typing import cast

import ray
from ray import ObjectRef
from ray.actor import ActorClass, ActorHandle
from ray.exceptions import RayError

from actors.cluster.supervisor import LOOK_SECONDS, StandstillError, Supervisor, Word
from actors.remote.names import (
    SUPERVISOR,
    WATCHED,
    names_of_ours,
)
from actors.remote.options import NAMESPACE, start_actor
from actors.settings import Settings

STOP_SECONDS_MAX = 5.0
CALLS_MAX = 10


class RayActors:
    """Our actors. Each answers `ping` in its loop: with what stands still, or None."""

    def names(self) -> list[str]:
        """Return the names of all actors, those that are being started included."""
        return [name for name in names_of_ours() if WATCHED.fullmatch(name)]

    def ask(self, name: str) -> object:
        """Ask an actor for a sign of life; return the question, None where it just ended."""
        try:
            return ray.get_actor(name, namespace=NAMESPACE).ping.remote()
        except (RayError, ValueError):
            return None

    def word(self, question: object) -> Word:
        """Say what has become of a question. Raises StandstillError."""
        if question is None:
            return Word.LOST
        answer = cast("ObjectRef[str | None]", question)
        if not ray.wait([answer], timeout=0)[0]:
            return Word.AWAITED
        try:
            standstill = ray.get(answer, timeout=LOOK_SECONDS)
        except RayError:
            return Word.LOST
        if standstill is not None:
            raise StandstillError(standstill)
        return Word.ANSWERED

    def restart(self, name: str) -> None:
        """Have an actor's process ended, and another one started."""
        with contextlib.suppress(ValueError):  # It has no name any more.
            ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=False)


@contextlib.contextmanager
def supervision() -> Iterator[None]:
    """Watch all actors as long as the block."""
    stopping = threading.Event()
    supervisor = Supervisor(RayActors())
    thread = threading.Thread(
        target=supervisor.run, args=(stopping,), name="supervisor", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(STOP_SECONDS_MAX)


class SupervisorActor:
    """The supervisor as an actor: where no process of ours lives as long as the service."""

    def __init__(self) -> None:
        self._watching = contextlib.ExitStack()
        self._watching.enter_context(supervision())

    def __repr__(self) -> str:
        return "SupervisorActor()"

    def ping(self) -> None:
        """Return: the actor is there."""

    def close(self) -> None:
        """Stop watching."""
        self._watching.close()


RemoteSupervisor: ActorClass[SupervisorActor] = ray.remote(SupervisorActor)


def start_supervisor(_settings: Settings) -> ActorHandle[SupervisorActor]:
    """Start the supervisor, or return the one that runs already."""
    return start_actor(RemoteSupervisor, SUPERVISOR, (), CALLS_MAX)
