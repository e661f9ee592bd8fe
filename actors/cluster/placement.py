"""Which shard belongs on which node: evenly, and with as few moves as that takes."""

from collections import Counter
from collections.abc import Mapping, Sequence


def evenly(where: Mapping[str, str | None], nodes: Sequence[str]) -> dict[str, str]:
    """Return a node of `nodes` for each shard of `where`, which says where each is now.

    No node gets two more than another one, and who can stay stays.
    """
    assert nodes, "there is a node to put shards on"
    now = Counter(node for node in where.values() if node in nodes)
    share, more = divmod(len(where), len(nodes))
    fullest = sorted(nodes, key=lambda node: (-now[node], node))
    room = {node: share + (place < more) for place, node in enumerate(fullest)}
    placed: dict[str, str] = {}
    for shard, node in sorted(where.items()):
        if node is not None and room.get(node, 0):
            placed[shard] = node
            room[node] -= 1
    free = iter([node for node in fullest for _ in range(room[node])])
    return {shard: placed.get(shard) or next(free) for shard in sorted(where)}


def elsewhere(where: Mapping[str, str], leaving: str, nodes: Sequence[str]) -> dict[str, str]:
    """Return a node of `nodes` for each shard on the one that leaves: always the emptiest."""
    load = Counter(dict.fromkeys(nodes, 0))
    load.update(node for node in where.values() if node in nodes)
    moved: dict[str, str] = {}
    for shard in sorted(shard for shard, node in where.items() if node == leaving):
        moved[shard] = min(sorted(load), key=lambda node: load[node])
        load[moved[shard]] += 1
    return moved
