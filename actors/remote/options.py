"""How our actors are put on Ray: named, detached, started again for ever, repeated by callers only."""

from collections.abc import Sequence
from typing import TypeVar, cast

from ray.actor import ActorClass, ActorHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

NAMESPACE = "allotment"
PLACED_CPUS = 0.001
"""What an actor claims. Hardly anything: but one that claims nothing is put anywhere, by chance."""

T = TypeVar("T")
RETRY_SECONDS = 1.0  # Pause before the database is asked again at start.


def start_actor(
    kind: ActorClass[T],
    name: str,
    arguments: Sequence[object],
    calls_max: int,
    node_id: str | None = None,
) -> ActorHandle[T]:
    """Start an actor that outlives whoever starts it, or return the one of that name.

    `calls_max` is how many calls it works at together, and how many Ray holds for it from one
    process. Its node is `node_id` as long as that takes actors, and any other after.
    """
    home = None if node_id is None else NodeAffinitySchedulingStrategy(node_id, soft=True)
    handle = kind.options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=PLACED_CPUS,
        max_restarts=-1,
        max_task_retries=0,  # Repeating is the caller's, with the same key.
        max_concurrency=calls_max,
        max_pending_calls=calls_max,
        enable_task_events=False,
        scheduling_strategy=home,
    ).remote(*arguments)
    return cast("ActorHandle[T]", handle)
