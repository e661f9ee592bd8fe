"""The calls of operators. All need an admin key."""

from datetime import datetime
from typing import Any, Literal

from allotment_client.call import Call, checked_key, encoded, path_of, query_of
from allotment_client.decoding import reader
from allotment_client.lists import SubscriptionRecord
from allotment_client.reports import (
    AnonymizationReport,
    HistoryPage,
    PriceListRecord,
    RankedUsers,
    ReconciliationProgress,
    Redelivery,
    RefusalPage,
    RereadReport,
    ReshardReport,
    ShardReport,
    SubscriptionPage,
    SweepReport,
    SyncReport,
    TestClockReport,
)

Status = Literal["none", "active", "past_due", "paused", "cancelled", "expired"]
NewStatus = Literal["active", "past_due", "paused", "cancelled", "expired"]


def sync(user_id: str | None = None) -> Call[RereadReport]:
    """Read one user, or everything in RAM, again from MongoDB."""
    return Call("POST", "/admin/sync", reader(RereadReport), body=encoded(user_id=user_id))


def validate(*, repair: bool = True) -> Call[SweepReport]:
    """Compare RAM with MongoDB and hold the views to their rules, now."""
    return Call("POST", "/admin/validate", reader(SweepReport), body=encoded(repair=repair))


def anonymize(user_id: str, *, key: str | None = None) -> Call[AnonymizationReport]:
    """Replace a user's id by a random one in everything that is stored, irrevocably.

    GoesOnError: it takes longer than this call may, and goes on. Call again, with the same `key`.
    """
    body, path = encoded(mode="anonymize"), path_of("users", user_id)
    return Call("DELETE", path, reader(AnonymizationReport), body=body, key=checked_key(key))


def get_anonymizations(limit: int = 50) -> Call[list[AnonymizationReport]]:
    """Return the newest anonymisations, newest first. None says whose it was."""
    query = query_of(limit=limit)
    return Call("GET", "/admin/anonymizations", reader(list[AnonymizationReport]), query)


def list_subscriptions(
    status: Status | None = None, *, limit: int = 100, cursor: str | None = None
) -> Call[SubscriptionPage]:
    """Return a page of the subscriptions of all users by id, as their documents stand."""
    query = query_of(status=status, limit=limit, cursor=cursor)
    return Call("GET", "/subscriptions", reader(SubscriptionPage), query)


def get_history(user_id: str, *, limit: int = 100, cursor: str | None = None) -> Call[HistoryPage]:
    """Return what was decided about a user and who asked for it, newest first."""
    path, query = path_of("subscriptions", user_id, "history"), query_of(limit=limit, cursor=cursor)
    return Call("GET", path, reader(HistoryPage), query)


def change_subscription(
    subscription_id: str,
    *,
    status: NewStatus | None = None,
    end_date: datetime | None = None,
    timezone: str | None = None,
    reason: str | None = None,
    key: str | None = None,
) -> Call[SubscriptionRecord]:
    """Change a status, an end or a time zone. It is in MongoDB and in RAM when this returns."""
    body = encoded(status=status, end_date=end_date, timezone=timezone, reason=reason)
    path, key = path_of("subscriptions", subscription_id), checked_key(key)
    return Call("PATCH", path, reader(SubscriptionRecord), body=body, key=key)


def get_sweeps(job: str | None = None, *, limit: int = 50) -> Call[list[SweepReport]]:
    """Return the newest reports of the janitor's runs, newest first."""
    query = query_of(job=job, limit=limit)
    return Call("GET", "/admin/sweeps", reader(list[SweepReport]), query)


def get_shards() -> Call[list[ShardReport]]:
    """Return one row a shard."""
    return Call("GET", "/admin/shards", reader(list[ShardReport]))


def get_sync() -> Call[SyncReport]:
    """Say how far RAM is behind what other programs write."""
    return Call("GET", "/admin/sync", reader(SyncReport))


def get_events_report() -> Call[dict[str, Any]]:
    """Return undelivered and dead events, and how each endpoint does, as the interface spells it."""
    return Call("GET", "/admin/events", dict)


def redeliver(event_id: str) -> Call[Redelivery]:
    """Deliver an event again: where it is dead, else to everybody who wants it."""
    return Call("POST", path_of("admin", "events", event_id, "redeliver"), reader(Redelivery))


def reshard(shards: int) -> Call[ReshardReport]:
    """Begin to change the number of shards, while they serve. Raises ReshardRunningError."""
    return Call("POST", "/admin/reshard", reader(ReshardReport), body=encoded(shards=shards))


def get_resharding() -> Call[ReshardReport]:
    """Say how far the newest change of the number of shards is."""
    return Call("GET", "/admin/reshard", reader(ReshardReport))


def reconcile_stripe() -> Call[SweepReport]:
    """Compare what is known with what Stripe has, now. What differs is applied behind."""
    return Call("POST", "/admin/stripe/reconcile", reader(SweepReport))


def get_stripe_reconciliation() -> Call[ReconciliationProgress]:
    """Say how far the comparison with Stripe that is under way has come."""
    return Call("GET", "/admin/stripe/reconcile", reader(ReconciliationProgress))


def list_users(order: Literal["least", "most"] = "least", *, limit: int = 50) -> Call[RankedUsers]:
    """Return the users who have the least left, or the most, of those in RAM."""
    query = query_of(order=order, limit=limit)
    return Call("GET", "/admin/users", reader(RankedUsers), query)


def list_refusals(*, limit: int = 100, cursor: str | None = None) -> Call[RefusalPage]:
    """Return a page of the requests that were refused under an idempotency key, newest first."""
    query = query_of(limit=limit, cursor=cursor)
    return Call("GET", "/admin/refusals", reader(RefusalPage), query)


def get_prices() -> Call[PriceListRecord]:
    """Return the price list in force, in the order in which prices are tried."""
    return Call("GET", "/admin/prices", reader(PriceListRecord))


def set_test_clock(now: datetime) -> Call[TestClockReport]:
    """Set the whole service's clock forward, where ALLOTMENT_TEST_CLOCK allows it."""
    return Call("PUT", "/admin/test-clock", reader(TestClockReport), body=encoded(now=now))
