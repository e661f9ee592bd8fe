"""Starts the shards as Ray's actors, each on a node."""

import ray
from ray.actor import ActorClass, ActorHandle

from actors.protocol.directory import shard_name
from actors.remote import nodes
from actors.remote.options import start_actor
from actors.remote.shard import ShardActor
from actors.settings import Settings

PENDING_CALLS_MAX = 2_000  # Messages Ray holds for one shard from one process.

RemoteShard: ActorClass[ShardActor] = ray.remote(ShardActor)


def start_shard(
    settings: Settings, index: int, node_id: str | None = None
) -> ActorHandle[ShardActor]:
    """Start a shard, or return the one that runs already under its name.

    Without `node_id`, neighbours by number are on different nodes.
    """
    open_nodes = nodes.open_node_ids()
    home = node_id or open_nodes[index % len(open_nodes)]
    arguments = (settings, index)
    return start_actor(RemoteShard, shard_name(index), arguments, PENDING_CALLS_MAX, home)
