"""The cluster's nodes, and which of our actors are on them.

What Ray has for it is used by Ray's own commands and libraries, and is no public interface: all
of it is in this file.
"""

from enum import Enum
from typing import Any, NamedTuple

import ray
from ray import _raylet
from ray._private.state import actors as all_actors
from ray._private.state import state
from ray.core.generated import autoscaler_pb2

DRAIN_REASON = "allotment drain"
HEAD_RESOURCE = "node:__internal_head__"
REPLICA_PREFIX = "SERVE_REPLICA::"


class Standing(Enum):
    """What may be put on a node."""

    OPEN = "open"
    DRAINING = "draining"
    GONE = "gone"


class Node(NamedTuple):
    """One node that there is, or was."""

    node_id: str
    standing: Standing
    is_head: bool


class Incarnation(NamedTuple):
    """One process of an actor."""

    node_id: str
    pid: int
    restarts: int


def all_nodes() -> list[Node]:
    """Return all nodes that there are or were, in an order that stays."""
    draining = state.get_draining_nodes()
    found = []
    rows: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    for node in sorted(rows, key=lambda node: str(node["NodeID"])):
        alive = Standing.DRAINING if node["NodeID"] in draining else Standing.OPEN
        standing = alive if node["Alive"] else Standing.GONE
        found.append(Node(node["NodeID"], standing, HEAD_RESOURCE in node["Resources"]))
    return found


def open_node_ids() -> list[str]:
    """Return the nodes that actors may be put on, in an order that stays."""
    return [node.node_id for node in all_nodes() if node.standing is Standing.OPEN]


def close_node(node_id: str) -> None:
    """Have nothing more put on a node, and Serve take its replicas off it. ValueError: refused."""
    library: Any = _raylet
    client = library.GcsClient(address=ray.get_runtime_context().gcs_address)
    reasons: Any = autoscaler_pb2
    reason = reasons.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, why = client.drain_node(node_id, reason, DRAIN_REASON, 0)
    if not accepted:
        raise ValueError(why)


def incarnations() -> dict[str, Incarnation]:
    """Return the process of each named actor that works now."""
    rows: list[dict[str, Any]] = list(all_actors(actor_state_name="ALIVE").values())
    return {
        row["Name"]: Incarnation(row["Address"]["NodeID"], row["Pid"], row["NumRestarts"])
        for row in rows
        if row["Name"]
    }


def has_replicas(node_id: str) -> bool:
    """Whether Serve still has replicas on a node."""
    return any(
        name.startswith(REPLICA_PREFIX) and one.node_id == node_id
        for name, one in incarnations().items()
    )
