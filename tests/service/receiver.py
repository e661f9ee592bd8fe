"""An endpoint of webhooks in a process of its own choosing, which fails as it is told to."""

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks import Webhook

SECRET = "whsec_" + "QWxsb3RtZW50IHRlc3RzIHNpZ24gd2l0aCB0aGlz"
HANG_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Received:
    """A webhook whose signature was right."""

    event: dict[str, Any]
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class Receiver:
    """Takes webhooks on a port of its own. `manner`: ok, hang, drip, close, redirect or a status."""

    manner: str = "ok"
    port: int = 0
    secret: str = SECRET
    received: list[Received] = field(default_factory=list)
    attempts: int = 0
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    def config(self, name: str, **fields: Any) -> dict[str, Any]:
        """Return what the service must know of this endpoint."""
        return {"url": self.url, "secrets": [SECRET], "name": name} | fields

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """Say nothing of callers that have gone."""

        self._gone = threading.Event()
        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None, "it was started"
        self._gone.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self._gone.is_set():  # A connection that outlived the server.
            request.close_connection = True
            return
        self.attempts += 1
        body = request.rfile.read(int(request.headers["content-length"]))
        if self.manner == "hang":
            self._gone.wait(HANG_SECONDS_MAX)
            request.close_connection = True
        elif self.manner == "close":
            request.close_connection = True
        elif self.manner == "drip":
            self._drip(request)
        elif self.manner == "ok":
            headers = {name.lower(): value for name, value in request.headers.items()}
            event = Webhook(self.secret).verify(body, headers)
            self.received.append(Received(event, headers, body, time.time()))  # noqa: TID251
            self._respond(request, 204)
        else:
            self._respond(request, 302 if self.manner == "redirect" else int(self.manner))

    def _drip(self, request: BaseHTTPRequestHandler) -> None:
        """Answer 200 with a body that never ends."""
        request.send_response(200)
        request.send_header("content-length", "1000000")
        request.end_headers()
        with contextlib.suppress(OSError):
            while not self._gone.wait(0.05):
                request.wfile.write(b".")
        request.close_connection = True

    def _respond(self, request: BaseHTTPRequestHandler, status: int) -> None:
        request.send_response(status)
        if status == 302:
            request.send_header("location", self.url)
        request.send_header("content-length", "0")
        request.end_headers()

    def events_of(self, user: str, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the events of one user, repeats included, in the order of their arrival."""
        events = [one.event for one in list(self.received)]
        return [e for e in events if e["user_id"] == user and kind in (None, e["type"])]


def as_setting(*endpoints: dict[str, Any]) -> str:
    return json.dumps(endpoints)
