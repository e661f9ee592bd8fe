"""Counters and reports as Ray metrics: `ray_allotment_…`, one series a shard, a job, the sync, …."""

import asyncio
from collections.abc import Callable
from dataclasses import fields
from typing import Generic, TypeVar

from ray.util.metrics import Counter, Gauge

from actors.protocol.reports import SweepReport
from actors.runtime.counters import (
    Counters,
    EventCounters,
    OperationCounters,
    StripeCounters,
    SyncCounters,
)
from actors.runtime.price_list import PriceFile

LEVELS = frozenset(
    {
        "users",
        "queued",
        "lagging_entries",
        "stale",
        "dormant",
        "warming",
        "lag_seconds",
        "holds_open",
        "credits_held",
        "oldest_hold_seconds",
        "undelivered",
        "down",
        "fresh",
        "found",
        "parked",
        "dead_letters",
    }
)

C = TypeVar("C", Counters, SyncCounters, EventCounters, StripeCounters, OperationCounters)
METRICS_SECONDS = 2.0  # How often counters become metrics.


class CounterMetrics(Generic[C]):
    """Publishes what has changed since the last time."""

    def __init__(self, part: str, name: str, zero: C) -> None:
        """`zero` holds what is published so far: nothing."""
        self._published: C = zero
        self._levels: dict[str, Gauge] = {}
        self._sums: dict[str, Counter] = {}
        for field in fields(zero):
            full, about = f"allotment_{part}_{field.name}", _describe(part, field.name)
            if field.name in LEVELS:
                gauge = Gauge(full, description=about, tag_keys=(part,))
                gauge.set_default_tags({part: name})
                self._levels[field.name] = gauge
            else:
                counter = Counter(full, description=about, tag_keys=(part,))
                counter.set_default_tags({part: name})
                self._sums[field.name] = counter

    def publish(self, counters: C) -> None:
        """Bring Ray's metrics up to the counters."""
        for name, gauge in self._levels.items():
            gauge.set(getattr(counters, name))
        for name, metric in self._sums.items():
            increase = getattr(counters, name) - getattr(self._published, name)
            if increase > 0:
                metric.inc(increase)
                setattr(self._published, name, getattr(counters, name))


async def publish_forever(publish: Callable[[], None]) -> None:
    """Bring Ray's metrics up to what was counted, again and again."""
    while True:
        publish()
        await asyncio.sleep(METRICS_SECONDS)


def _describe(part: str, name: str) -> str:
    return f"{name.replace('_', ' ').capitalize()} of a {part}."


class PricesMetric:
    """Whether the file of the price list is valid."""

    def __init__(self) -> None:
        text = "1 while the file of the price list is not valid and an older list is in force."
        self._gauge = Gauge("allotment_prices_invalid", description=text)

    def publish(self, file: PriceFile) -> None:
        """Take up what was seen of the file."""
        self._gauge.set(file.is_invalid)


class SweepMetrics:
    """The newest report of every job as gauges, and sums of what was found."""

    def __init__(self) -> None:
        self._gauges = {
            name: Gauge(f"allotment_sweep_{name}", description=text, tag_keys=("job",))
            for name, text in (
                ("drift", "Share of compared accounts in which RAM and MongoDB differed."),
                ("checked", "What the newest run has looked at."),
                ("quarantined", "Documents that the newest run could not read."),
                ("index_problems", "Indexes that cannot be made, or that may refuse our writes."),
                ("duration_seconds", "How long the newest run took."),
            )
        }
        self._sums = {
            name: Counter(
                f"allotment_sweep_{name}",
                description=f"{name.replace('_', ' ').capitalize()}, all runs.",
                tag_keys=("job",),
            )
            for name in (
                "repaired",
                "expired",
                "holds_expired",
                "invariants_broken",
                "trimmed",
                "differed",
                "indexes_made",
            )
        }

    def publish(self, report: SweepReport) -> None:
        """Take up a report."""
        tags = {"job": report.job}
        self._gauges["drift"].set(report.drift, tags)
        self._gauges["checked"].set(report.checked, tags)
        self._gauges["quarantined"].set(report.quarantined, tags)
        self._gauges["index_problems"].set(len(report.index_problems), tags)
        self._gauges["duration_seconds"].set(report.elapsed_ms / 1000, tags)
        for name, metric in self._sums.items():
            if getattr(report, name) > 0:
                metric.inc(getattr(report, name), tags)
