"""What a shard counts about itself. Ray's metrics are made of these in one place."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Sums since the shard started; `users`, `queued` and `lagging_entries` are levels."""

    users: int = 0
    queued: int = 0
    lagging_entries: int = 0
    reads: int = 0
    writes: int = 0
    hits: int = 0
    misses: int = 0
    refusals: int = 0
    repeats: int = 0
    overloaded: int = 0
    evictions: int = 0
    quarantined: int = 0
    views_refused: int = 0
    appends: int = 0
    appended_entries: int = 0
    append_seconds: float = 0.0
    append_conflicts: int = 0
    appends_in_doubt: int = 0
