"""Puts Ray under the supervisor: it watches the actors of ours that there are."""

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import cast

import ray
from ray import ObjectRef
from ray.exceptions import RayError

from actors.detached import NAMESPACE
from actors.remote_events import EVENTS
from actors.remote_janitor import JANITOR
from actors.remote_stripe import STRIPE
from actors.remote_sync import SYNC_NAME
from actors.supervisor import LOOK_SECONDS, Supervisor, Word

STOP_SECONDS_MAX = 5.0
SINGLETONS = re.compile(rf"{JANITOR}|{SYNC_NAME}|{EVENTS}|{STRIPE}")
"""Names of the actors of which there is one."""
SHARD_NAMES = re.compile(r"shard-\d+")
OURS = re.compile(f"{SINGLETONS.pattern}|{SHARD_NAMES.pattern}")
"""Names of our actors. Programs that joined may have named others in our namespace."""


class RayActors:
    """Our actors. Each answers `ping` in its loop."""

    def names(self) -> list[str]:
        """Return the names of all actors, those that are being started included."""
        return [name for name in ray.util.list_named_actors() if OURS.fullmatch(name)]

    def ask(self, name: str) -> object:
        """Ask an actor for a sign of life; return the question, None where it just ended."""
        try:
            return ray.get_actor(name, namespace=NAMESPACE).ping.remote()
        except (RayError, ValueError):
            return None

    def word(self, question: object) -> Word:
        """Say what has become of a question."""
        if question is None:
            return Word.LOST
        answer = cast("ObjectRef[bool]", question)
        if not ray.wait([answer], timeout=0)[0]:
            return Word.AWAITED
        try:
            ray.get(answer, timeout=LOOK_SECONDS)
        except RayError:
            return Word.LOST
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
