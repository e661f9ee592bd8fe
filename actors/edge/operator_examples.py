"""One example of every report that operators read, by the name of its schema."""

from typing import Any

REPORTS: dict[str, dict[str, Any]] = {
    "ShardReport": {
        "shard": "shard-000",
        "node_id": "6f1e",
        "pid": 4242,
        "users": 5000,
        "queued": 0,
        "hits": 90000,
        "misses": 5000,
        "reads": 95000,
        "writes": 12000,
        "journal_seconds_behind": 0.1,
        "uptime_seconds": 3600.0,
        "heartbeat_age_seconds": 0.4,
        "stale": False,
    },
    "SyncReport": {
        "lag_seconds": 0.4,
        "last_event_at": "2026-03-10T12:00:00Z",
        "events_applied": 3,
        "resumes": 1,
        "resyncs": 0,
        "quarantined": 0,
    },
    "SweepReport": {
        "sweep_id": "sweep-20260310T120000Z",
        "job": "sweep",
        "started_at": "2026-03-10T12:00:00Z",
        "elapsed_ms": 1200,
        "checked": 5000,
        "missing_in_ram": 0,
        "missing_in_db": 0,
        "stale": 0,
        "expired": 0,
        "quarantined": 0,
        "invariants_broken": 0,
        "trimmed": 0,
        "repaired": 0,
        "drift": 0.0,
        "users": [],
        "indexes_made": 0,
        "index_problems": [],
    },
    "ReshardReport": {
        "shards": 8,
        "shards_before": 3,
        "slots": 2560,
        "moved": 640,
        "running": True,
        "started_at": "2026-03-10T12:00:00Z",
        "elapsed_seconds": 2.5,
    },
    "RereadReport": {"checked": 1, "reloaded": 1, "removed": 0, "elapsed_ms": 12},
    "EventsReport": {
        "stripe": [
            {
                "id": "evt_1",
                "type": "invoice.paid",
                "subject": "sub_1",
                "state": "received",
                "parked": True,
                "attempts": 3,
                "last_error": "its user is not known yet",
                "received_at": "2026-03-10T12:00:00Z",
            }
        ],
        "stripe_waiting": {"fresh": 0, "found": 0, "parked": 1, "dead": 0},
        "head": 7,
        "undelivered_count": 1,
        "dead_count": 0,
        "endpoints": [
            {
                "endpoint": "webhook crm",
                "healthy": True,
                "undelivered": 1,
                "delivered": 6,
                "failures": 1,
                "failures_in_a_row": 1,
                "dead": 0,
                "last_success_at": "2026-03-10T12:00:00Z",
                "last_error": "the endpoint answers 503",
            }
        ],
        "undelivered": [
            {
                "id": "evt_08bfafddfadfc136dbc25477122e9dac",
                "type": "subscription.low_credits",
                "user_id": "ada",
                "created": "2026-03-10T12:00:01Z",
                "endpoint": "webhook crm",
                "attempts": 1,
                "last_error": "the endpoint answers 503",
            }
        ],
        "dead": [],
    },
    "Redelivery": {
        "id": "evt_08bfafddfadfc136dbc25477122e9dac",
        "endpoints": ["webhook crm"],
    },
    "TestClockReport": {"now": "2026-04-09T00:00:00Z"},
}
