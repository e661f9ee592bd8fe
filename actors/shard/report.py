"""What a shard tells operators about itself."""

import os

from actors.protocol.reports import ShardReport
from actors.runtime.code_digest import code_digest
from actors.runtime.counters import Counters
from actors.shard.shard import Shard

CODE = code_digest()  # Of what this process runs, whatever is on disk later.


def measured(shard: Shard) -> Counters:
    """Return the shard's counters, those brought up to date that nothing counts by itself."""
    shard.counters.dormant = len(shard.accounts.dormant)
    shard.counters.stale = int(shard.following.is_stale)
    shard.accounts.open_holds.measure()
    return shard.counters


def report_of(shard: Shard, *, node_id: str, uptime_seconds: float) -> ShardReport:
    """Return what operators read about a shard."""
    counters, oldest = measured(shard), shard.views.oldest
    return ShardReport(
        shard=shard.name,
        node_id=node_id,
        pid=os.getpid(),
        users=counters.users + counters.dormant,
        queued=counters.queued,
        hits=counters.hits,
        misses=counters.misses,
        reads=counters.reads,
        writes=counters.writes,
        refusals=counters.refusals,
        charges=counters.charges,
        credits_charged=counters.credits_charged,
        journal_seconds_behind=(shard.now() - oldest).total_seconds() if oldest else 0.0,
        uptime_seconds=uptime_seconds,
        holds_open=counters.holds_open,
        credits_held=counters.credits_held,
        oldest_hold_seconds=counters.oldest_hold_seconds,
        holds_expired=counters.holds_expired,
        heartbeat_age_seconds=shard.following.heartbeat_age,
        stale=shard.following.is_stale,
        code=CODE,
    )
