"""Starts the service's actors anew, or on another node, one after another, while it answers.

Each shard writes its views, gives its lease back and is started again: its callers are told to ask
again, and wait for the second or two that this takes. What is interrupted is done by the same
command given again.
"""

import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayError

from actors.cluster.placement import elsewhere, evenly
from actors.mongo.stored_format import check_format
from actors.protocol.directory import shard_name
from actors.protocol.store import StorageUnavailableError, UnsuitableDatabaseError
from actors.remote import nodes
from actors.remote.handle import Handle
from actors.remote.names import LISTS, SINGLETONS
from actors.remote.nodes import Incarnation, Node, Standing
from actors.remote.options import NAMESPACE
from actors.remote.process import open_database
from actors.remote.shard import ShardActor
from actors.remote.start_shard import start_shard
from actors.settings import Settings

ANSWER_SECONDS_MAX = 10.0  # How long the first shard may take to tell what there is.
LEAVE_SECONDS_MAX = 30.0  # How long one may take to write what it has in hand.
BACK_SECONDS_MAX = 120.0  # How long one may take to be there again.
EMPTY_SECONDS_MAX = 120.0  # How long Serve may take to move its replicas off a node.
LOOK_SECONDS_MAX = 2.0  # How long one that was just started is waited for at one look.
PAUSE_SECONDS = 0.1  # Between two looks.

R = TypeVar("R")
Tell = Callable[[str], None]
"""Given a line a step."""


class NotMovedError(Exception):
    """It cannot be done, or was not. The message is one sentence for an operator."""


def restart(tell: Tell, roll: Callable[[Settings], None]) -> None:
    """Start all anew with the code that is on disk, and the shards evenly over the nodes.

    `roll` does so with the processes that answer HTTP. Raises NotMovedError.
    """
    settings = settings_in_force()
    check_code_fits(settings)
    now = nodes.incarnations()
    if LISTS in now:  # Shards fill their RAM from it, once they are started again.
        restart_singleton(LISTS, tell)
    where = {name: now[name].node_id if name in now else None for name in shard_names()}
    for name, node_id in evenly(where, nodes.open_node_ids()).items():
        move_shard(settings, name, node_id, tell)
    for name in filter(SINGLETONS.fullmatch, now):
        if name != LISTS:
            restart_singleton(name, tell)
    tell("HTTP")
    with not_done("HTTP has not moved"):
        roll(settings)


def check_code_fits(settings: Settings) -> None:
    """Refuse to start new code beside old documents, or old code beside new. NotMovedError."""
    database = open_database(settings)
    try:
        check_format(database)
    except UnsuitableDatabaseError as error:
        raise NotMovedError(str(error)) from error
    except StorageUnavailableError as error:
        raise NotMovedError("The database does not answer: try again later.") from error
    finally:
        database.client.close()


def drain(wanted: str, tell: Tell) -> None:
    """Move all off a node, which then may be ended. Raises NotMovedError."""
    node = drainable(nodes.all_nodes(), wanted)
    settings = settings_in_force()
    try:
        nodes.close_node(node.node_id)
    except ValueError as error:
        raise NotMovedError(f"Ray does not let node {node.node_id} go: {error}") from error
    now = nodes.incarnations()
    where = {name: now[name].node_id for name in shard_names() if name in now}
    for name, node_id in elsewhere(where, node.node_id, nodes.open_node_ids()).items():
        move_shard(settings, name, node_id, tell)
    for name in filter(SINGLETONS.fullmatch, now):
        if now[name].node_id == node.node_id:
            restart_singleton(name, tell)
    tell("HTTP")
    wait_until(lambda: not nodes.has_replicas(node.node_id), "HTTP", EMPTY_SECONDS_MAX)


def drainable(known: list[Node], wanted: str) -> Node:
    """Return the node of this id, or of one that begins so. Raises NotMovedError."""
    found = [node for node in known if wanted and node.node_id.startswith(wanted)]
    there = [node for node in found if node.standing is not Standing.GONE]
    if not found:
        raise NotMovedError(f"There is no node {wanted}.")
    if not there:
        raise NotMovedError(f"Node {wanted} has left already.")
    if len(there) > 1:
        raise NotMovedError(f"{len(there)} nodes begin with {wanted}: give more of its id.")
    (node,) = there
    if node.is_head:
        raise NotMovedError("The head node cannot be drained: what keeps the cluster runs there.")
    if not [n for n in known if n.standing is Standing.OPEN and n != node]:
        raise NotMovedError("It is the last node: there is none to move its shards to.")
    return node


def settings_in_force() -> Settings:
    """Return what the running service was started with. Raises NotMovedError."""
    return ask_first(ShardActor.settings)


def shard_names() -> list[str]:
    """Return the shards of the directory in force. Raises NotMovedError."""
    return [shard_name(index) for index in range(ask_first(ShardActor.directory).shards)]


def ask_first(method: Callable[[ShardActor], Coroutine[Any, Any, R]]) -> R:
    """Ask the first shard. Raises NotMovedError."""

    def lost() -> NotMovedError:
        return NotMovedError("The first shard does not answer: try again later.")

    return Handle[ShardActor](shard_name(0), lost).wait_for(ANSWER_SECONDS_MAX, method)


def move_shard(settings: Settings, name: str, node_id: str, tell: Tell) -> None:
    """Start a shard anew on a node, its own or another one; return when it answers."""
    tell(f"{name} on {node_id[:8]}")
    before = nodes.incarnations().get(name)
    stays = before is not None and before.node_id == node_id
    if before is not None:
        with not_done(f"{name} has not written what it has in hand"):
            handle = ray.get_actor(name, namespace=NAMESPACE)
            ray.get(handle.leave.remote(), timeout=LEAVE_SECONDS_MAX)
            # Ray starts it on its node again; elsewhere it has to be another actor.
            ray.kill(handle, no_restart=not stays)
    index = int(name.removeprefix("shard-"))
    wait_until(lambda: is_back(settings, index, node_id, before), name, BACK_SECONDS_MAX)
    now = nodes.incarnations().get(name)
    if stays and now is not None and now.node_id != node_id:  # Its first node is another one.
        move_shard(settings, name, node_id, tell)


def is_back(settings: Settings, index: int, node_id: str, before: Incarnation | None) -> bool:
    """Whether a shard has another process than before, which answers; start it if it has none."""
    try:
        handle: ActorHandle[ShardActor] = start_shard(settings, index, node_id)
        now = nodes.incarnations().get(shard_name(index))
        if now is None or now == before:
            return False
        ray.get(handle.report.remote(), timeout=LOOK_SECONDS_MAX)
    except (RayError, ValueError):  # It is still being ended, or started.
        return False
    return True


def restart_singleton(name: str, tell: Tell) -> None:
    """End an actor's work in order, and have Ray start it anew; return when it answers."""
    tell(name)
    before = nodes.incarnations().get(name)
    with not_done(f"{name} does not answer"):
        handle = ray.get_actor(name, namespace=NAMESPACE)
        with contextlib.suppress(GetTimeoutError):  # What it leaves undone is done at its start.
            ray.get(handle.close.remote(), timeout=ANSWER_SECONDS_MAX)
        ray.kill(handle, no_restart=False)

    def answers() -> bool:
        if nodes.incarnations().get(name) in {None, before}:
            return False
        try:
            ray.get(handle.ping.remote(), timeout=LOOK_SECONDS_MAX)
        except RayError:
            return False
        return True

    wait_until(answers, name, BACK_SECONDS_MAX)


@contextlib.contextmanager
def not_done(what: str) -> Iterator[None]:
    """Turn what Ray says into a sentence."""
    try:
        yield
    except (RayError, ValueError, RuntimeError, TimeoutError) as error:
        raise NotMovedError(f"{what}: give the command again later.") from error


def wait_until(reached: Callable[[], bool], what: str, seconds_max: float) -> None:
    """Return once it is so. Raises NotMovedError."""
    deadline = time.monotonic() + seconds_max
    while not reached():
        if time.monotonic() > deadline:
            raise NotMovedError(f"{what} has not moved within {seconds_max:.0f} seconds.")
        time.sleep(PAUSE_SECONDS)
