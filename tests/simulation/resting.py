"""The end of a simulation: how it comes to rest, and what must be true then."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from actors.janitor.hold_expiry import HoldsExpiry
from actors.janitor.pack_expiry import PacksExpiry
from actors.protocol.calls import Outcome
from actors.shard.shard import Shard
from tests.simulation.books import require
from tests.simulation.database_reads import SimulatedEnds

if TYPE_CHECKING:
    from tests.simulation.world import World

REST_SECONDS_MAX = 120.0  # Virtual seconds after the last fault in which all must rest.
A_WHILE = timedelta(seconds=2)
LATE_SECONDS = 9.0  # Longer than a late append, or a late message, is on its way.


async def come_to_rest(world: "World") -> None:
    """Wait until nothing is under way any more."""
    is_late = world.plan.faults.late_appends or world.plan.troubles.late
    await asyncio.sleep(LATE_SECONDS if is_late else 0.5)
    healed = world.loop.time()
    deadline = healed + REST_SECONDS_MAX
    while not _rests(world, healed):
        require(world.loop.time() < deadline, "it never comes to rest")
        await asyncio.sleep(0.5)
        world.raise_failures()
    await _read_all(world)
    await asyncio.sleep(2.0)


async def _read_all(world: "World") -> None:
    """Read every user: who is read is caught up, and so are the views."""
    for user_id in world.auditor.users:
        reply = await world.clients[0].read(user_id)
        require(reply.outcome is Outcome.DONE, "no answer at rest", user=user_id, reply=reply)
    await _settle(world)


async def _settle(world: "World") -> None:
    """Wait for an instant at which nothing is being written: holds go on to expire by themselves."""
    shards = [await process.shard for process in world.shards if process is not None]
    while any(map(_is_busy, shards)):
        for shard in shards:
            await shard.inbox.settle()
            await shard.settle()


def _is_busy(shard: Shard) -> bool:
    is_deciding = len(shard.inbox) > 0 or bool(shard.inbox.taken)
    return is_deciding or shard.views.oldest is not None


def _rests(world: "World", healed: float) -> bool:
    """Say whether every process runs, and every shard has heard of all that was before `healed`."""
    if world.sync is None or world.sync.is_dead:
        return False
    plan = world.store.seen_plan()
    if plan is not None and plan.ended_at is None:
        return False
    if world.sync.sync.lag_seconds >= world.loop.time() - healed:
        return False
    for shard in world.shards:
        if shard is None or shard.is_dead or not shard.shard.done():
            return False
        if not shard.shard.result().caught_up or shard.shard.result().following.is_stale:
            return False
    return True


async def audit(world: "World") -> None:
    users = sorted({*world.auditor.users, *world.auditor.foreign})
    await _settle(world)
    astray = dict(world.auditor.astray)
    world.auditor.at_rest(astray)
    await _compare_with_documents(world, [u for u in users if u not in astray])
    await _sweep_at_rest(world, astray.keys())
    world.auditor.astray.clear()
    await _expire_all(world)
    world.auditor.at_rest(())
    _count_duels(world)
    await _compare_with_documents(world, users)
    for client in world.clients:
        await world.watched(asyncio.ensure_future(client.repeat_some(0.3)))
    tally, auditor = world.tally, world.auditor
    tally.entries, tally.replies, tally.reads = auditor.entries, auditor.replies, auditor.reads
    tally.edits = world.program.edits
    assert world.sync is not None, "it was started"
    tally.resyncs = world.sync.sync.counters.resyncs


async def _expire_all(world: "World") -> None:
    """Let the janitor look once more: no document has what is over, or hides an expiry, then."""
    ends = SimulatedEnds(world.store)
    for kind in (PacksExpiry, HoldsExpiry):
        run = kind(ends, world.routers[0], world.clock).run(world.clock())
        await world.watched(asyncio.ensure_future(run))
    await _read_all(world)
    # A hold that is over just now has its timer, and that its second.
    left = ends.overdue_holds(world.clock() - A_WHILE, 1, None).items
    mine = [hold for hold in left if hold.user_id not in world.auditor.foreign]
    require(not mine, "a hold is over, and its document has it still", found=mine)
    expired = ends.ended_packs(world.clock() - A_WHILE, 1, None).items
    silent = [pack for pack in expired if pack.user_id not in world.auditor.foreign]
    require(not silent, "a pack has expired, and its document does not say so", found=silent)


def _count_duels(world: "World") -> None:
    """Check that one thing became of every hold that was settled as it expired."""
    for user_id, hold_id, settled in [duel for c in world.clients for duel in c.duels]:
        fate = world.auditor.fate_of(user_id, hold_id)
        # A day's share may end before packs' shares do, with its subscription.
        before, last = set(fate[:-1]) - {"expired"}, fate[-1:]
        in_time, late, expired = (last == [end] for end in ("settled", "late", "expired"))
        late = late and len(fate) > 1
        resolved = not before and (in_time or late)
        # Another client may have resolved it before.
        one = resolved or (not settled and not before and bool(last))
        edited = user_id in world.auditor.foreign  # Its documents may be gone or unreadable.
        may_go_on = edited or (_went_back(world, user_id) and not settled)
        require(one or may_go_on, "a duel", fate=fate, settled=settled)
        world.tally.settled_in_time += settled and in_time
        world.tally.settled_too_late += late or (not settled and expired)


def _went_back(world: "World", user_id: str) -> bool:
    """Say whether the clock went back between two entries, or after the last one.

    To before its subscription, it may be: no hold is open there. It goes on, and is over by its own
    time, when the clock comes back.
    """
    own = sorted((e.seq, e.at) for e in world.store.journal.values() if e.user_id == user_id)
    moments = [*(at for _, at in own), world.clock()]
    return any(later < earlier for earlier, later in pairwise(moments))


async def _compare_with_documents(world: "World", users: Sequence[str]) -> None:
    for user_id in users:
        reply = await world.clients[0].read(user_id)
        require(reply.outcome is Outcome.DONE, "no answer at rest", user=user_id, reply=reply)
        assert reply.body is not None, "what is done has a body"
        world.auditor.rests(user_id, reply.body)


async def _sweep_at_rest(world: "World", excused: Collection[str]) -> None:
    """Check that the sweep finds what went behind an owner's back, and nothing else."""
    for repaired in (False, True):
        for shard in world.shards:
            assert shard is not None, "all were started"
            found = await shard.spawn(shard.compare(repair=True, whole=True))
            unexpected = set(found.users) - set(() if repaired else excused)
            require(not unexpected, "drift at rest", users=unexpected, found=found)
            world.tally.drifted += len(found.users)
