"""What operators read about the parts of the service."""

from pydantic import BaseModel


class ShardReport(BaseModel):
    """One row of `GET /admin/shards`."""

    shard: str
    node_id: str
    pid: int
    users: int
    queued: int
    hits: int
    misses: int
    reads: int
    writes: int
    journal_seconds_behind: float
    uptime_seconds: float
