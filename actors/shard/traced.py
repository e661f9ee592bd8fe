"""What a shard tells traces: how long each message was with it, and which steps of the database ran meanwhile.

A shard decides what has arrived together: an append is in the trace of every sampled request that waited
for it.
"""

import time
from collections.abc import Awaitable, Callable, Sequence

from actors.protocol.calls import Envelope, Reply
from actors.runtime.otlp import CLIENT, Tracer
from actors.runtime.tracing import DatabaseSteps, Parent

Answer = Callable[[Envelope], Awaitable[list[Reply]]]


class TracedShard:
    """Answers messages as the shard does, and tells of those that travel for sampled requests."""

    def __init__(
        self,
        name: str,
        tracer: Tracer,
        steps: DatabaseSteps,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._name = name
        self._tracer = tracer
        self._steps = steps
        self._clock = clock

    async def answer(
        self, envelope: Envelope, parents: Sequence[Parent], answer: Answer
    ) -> list[Reply]:
        """Return the replies to an envelope, which travels for these spans."""
        if not parents:
            return await answer(envelope)
        began, error = self._clock(), None
        try:
            return await answer(envelope)
        except Exception as raised:
            error = type(raised).__name__
            raise
        finally:
            self._tell(envelope, parents, began, error)

    def _tell(
        self, envelope: Envelope, parents: Sequence[Parent], began: int, error: str | None
    ) -> None:
        ended = self._clock()
        steps = self._steps.between(began, ended)
        told: dict[str, str | int | bool] = {
            "allotment.shard": self._name,
            "allotment.calls": len(envelope.calls),
            "allotment.statuses": len(envelope.status_of),
        }
        for parent in parents:
            span = self._tracer.begin("shard", parent, began)
            for step in steps:
                of_database = {"db.system.name": "mongodb", "allotment.shard": self._name}
                child = self._tracer.begin(step.name, span.parent, step.began, CLIENT)
                child.end(step.ended, of_database, step.error)
            span.end(ended, told, error)
