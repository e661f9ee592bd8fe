"""How a shard gives users away: it finishes what was accepted, writes the views, and forgets them.

It gives away all users where it leaves for a successor, else those whom the table has given to others.
Nobody answers for a slot on its way before its former owner has said that it has done so, and its
next owner loads each account at the first touch.
"""

import asyncio
from collections.abc import Callable

from actors.protocol.store import StorageUnavailableError
from actors.shard import catch_up
from actors.shard.shard import Shard

USERS_AT_ONCE = 1_000  # Looked at between two turns of the loop.


async def hand_over(shard: Shard) -> int:
    """Return the version under which nothing of other shards' users is left here.

    Neither in RAM nor missing in the views. Raises StorageUnavailableError.
    """
    table = shard.table
    if not shard.caught_up:
        raise StorageUnavailableError("an earlier incarnation's views are not written yet")
    with shard.views.in_haste():
        await shard.inbox.settle()
        # Of these an append may have landed that RAM lacks, and nobody else will look for it.
        in_doubt = shard.accounts.filling.left_out(shard.ownership.writes_views)
        await catch_up.load(shard.name, shard.inbox, list(in_doubt), shard.accounts.broken)
        await shard.views.settle()
    if shard.ownership.may_hold_others(table):
        await _forget_others(shard)
    shard.ownership.forgot_others(table)
    return table.version


async def finish(shard: Shard, refuse: Callable[[], None]) -> None:
    """Return once all that was accepted is in the views.

    `refuse` is called once little is left to write; no call is accepted after it.
    """
    with shard.views.in_haste():
        await shard.settle()
        refuse()
        await shard.inbox.settle()
        await shard.settle()


async def _forget_others(shard: Shard) -> None:
    # What is being read for the warm start may be older than what the next owner writes.
    shard.accounts.filling.begin_again()
    users = shard.accounts.users()
    for start in range(0, len(users), USERS_AT_ONCE):
        for user_id in users[start : start + USERS_AT_ONCE]:
            if not shard.ownership.owns(user_id):
                shard.accounts.forget(user_id)
        await asyncio.sleep(0)
    shard.accounts.count()
