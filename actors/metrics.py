"""A shard's counters as Ray metrics: `ray_allotment_…`, one series a shard."""

from dataclasses import fields

from ray.util.metrics import Counter, Gauge

from actors.counters import Counters

LEVELS = frozenset({"users", "queued", "lagging_entries"})


class ShardMetrics:
    """Publishes what has changed since the last time."""

    def __init__(self, shard: str) -> None:
        self._published = Counters()
        self._levels: dict[str, Gauge] = {}
        self._sums: dict[str, Counter] = {}
        for field in fields(Counters):
            name, tags = f"allotment_shard_{field.name}", {"shard": shard}
            if field.name in LEVELS:
                gauge = Gauge(name, description=_describe(field.name), tag_keys=("shard",))
                gauge.set_default_tags(tags)
                self._levels[field.name] = gauge
            else:
                counter = Counter(name, description=_describe(field.name), tag_keys=("shard",))
                counter.set_default_tags(tags)
                self._sums[field.name] = counter

    def publish(self, counters: Counters) -> None:
        """Bring Ray's metrics up to the counters."""
        for name, gauge in self._levels.items():
            gauge.set(getattr(counters, name))
        for name, metric in self._sums.items():
            increase = getattr(counters, name) - getattr(self._published, name)
            if increase > 0:
                metric.inc(increase)
                setattr(self._published, name, getattr(counters, name))


def _describe(name: str) -> str:
    return f"{name.replace('_', ' ').capitalize()} of a shard."
