"""OpenTelemetry: the only place that imports it. Spans go out in batches, by a thread of their own.

The queue is bounded; where the collector is away, spans are dropped and nobody waits.
"""

import os
from collections.abc import Mapping

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span as SdkSpan
from opentelemetry.trace import SpanKind, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from actors.runtime.tracing import Parent

SERVICE = "allotment"
HEADER = "traceparent"
Attributes = Mapping[str, str | int | bool]
WRITTEN = TraceContextTextMapPropagator()

SERVER, INTERNAL, CLIENT = SpanKind.SERVER, SpanKind.INTERNAL, SpanKind.CLIENT


def exporting() -> SpanProcessor:
    """Return what sends spans to where the variables say. ImportError: `allotment[otel]` is missing."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
        OTLPSpanExporter,
    )

    return BatchSpanProcessor(OTLPSpanExporter())


class Span:
    """A span that has begun."""

    def __init__(self, span: SdkSpan) -> None:
        self._span = span

    @property
    def parent(self) -> Parent | None:
        """What its children name as their parent; None where it is not sampled."""
        if not self._span.get_span_context().trace_flags.sampled:
            return None
        carrier: dict[str, str] = {}
        WRITTEN.inject(carrier, set_span_in_context(self._span))
        return carrier.get(HEADER)

    def end(self, ended: int, attributes: Attributes, error: str | None = None) -> None:
        """End it, with all that is said of it."""
        self._span.set_attributes(dict(attributes))
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end(ended)


class Tracer:
    """Makes the spans of one process. Sampling and limits are by OpenTelemetry's own variables."""

    def __init__(self, part: str, processor: SpanProcessor) -> None:
        ours = Resource(
            {"service.name": SERVICE, "allotment.part": part, "process.pid": os.getpid()}
        )
        # A process that ends does not wait for a collector: the spans of its last seconds are lost.
        provider = TracerProvider(
            resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer(SERVICE)

    def begin(
        self, name: str, parent: Parent | None, began: int, kind: SpanKind = INTERNAL
    ) -> Span:
        """Begin a span; without a parent, a trace. `began` is in nanoseconds since 1970."""
        context = WRITTEN.extract({} if parent is None else {HEADER: parent})
        return Span(
            self._tracer.start_span(
                name, set_span_in_context(get_current_span(context)), kind, start_time=began
            )
        )
