"""An OpenTelemetry collector as far as tests need one: OTLP over HTTP, into a list."""

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Received(NamedTuple):
    """A span that came."""

    name: str
    trace: str
    span: str
    parent: str
    told: dict[str, Any]
    part: str
    """Of which process."""


@dataclass
class Collector:
    """Listens on a port of its own as long as the block."""

    received: list[Received] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self._server is not None, "it listens"
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def tree(self, trace: str) -> dict[str, list[str]]:
        """Return the names of a trace's spans, by those of their parents."""
        mine = {one.span: one for one in self.received if one.trace == trace}
        names: dict[str, list[str]] = {}
        for one in mine.values():
            parent = mine[one.parent].name if one.parent in mine else ""
            names.setdefault(parent, []).append(one.name)
        return names

    def take(self, body: bytes) -> None:
        for process in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {one.key: one.value.string_value for one in process.resource.attributes}
            for scope in process.scope_spans:
                for span in scope.spans:
                    told = {
                        one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value")
                        for one in span.attributes
                    }
                    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                    part = f"{resource['service.name']}/{resource['allotment.part']}"
                    self.received.append(Received(span.name, *ids, told, part))

    def __enter__(self) -> Self:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None, "it was started"
        self._server.shutdown()
        self._server.server_close()
