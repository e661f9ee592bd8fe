"""Who looks at users while their slots are on their way, and knows less of it, or more, than others.

Most clients hear of a move from the shard that gives the users away, and so do all others of
their process. Only who has asked nobody else stays behind, and only who starts meanwhile is ahead.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from actors.protocol.directory import Directory, slot_of
from domain.values import UserId

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOK_SECONDS = 0.1


def onlookers(world: "World") -> list[Coroutine[Any, Any, None]]:
    """Return what goes on beside the clients where shards hear late of slots on their way."""
    if not world.plan.hand_over_lag and not world.plan.step_stalls:
        return []
    return [look(world, user) for user in world.users for look in (_stay_behind, _come_in)]


async def _stay_behind(world: "World", user_id: str) -> None:
    """Read a user while its slot is on its way; in between once a version, to know the last one."""
    reader, seen = world.client(f"onlooker of {user_id}"), 0
    while world.at_work:
        await asyncio.sleep(LOOK_SECONDS)
        table = _table(world)
        if table.version > seen or slot_of(UserId(user_id)) in table.leaving:
            seen = table.version
            await reader.read(user_id)


async def _come_in(world: "World", user_id: str) -> None:
    """Ask for something, in a process that starts just then, whenever a user's slot leaves."""
    seen = 0
    while world.at_work:
        await asyncio.sleep(LOOK_SECONDS)
        table = _table(world)
        if table.version > seen and slot_of(UserId(user_id)) in table.leaving:
            seen = table.version
            await world.client(f"newcomer {seen} for {user_id}").ask(user_id)


def _table(world: "World") -> Directory:
    table = world.store.seen_table()
    assert table is not None, "it is published at the start"
    return table
