"""A site of another origin than the service: an application's pages, and what was asked of it."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Content = str | bytes | Mapping[str, Any] | Callable[[], Any]
"""Of a path: a page, a script, what is told as JSON, or what makes it."""


class OtherSite(ThreadingHTTPServer):
    """A site on this machine; `asked`: method, path with its query, and what was shown, in order."""

    def __init__(self, port: int, contents: Mapping[str, Content]) -> None:
        super().__init__(("127.0.0.1", port), Visit)
        self.contents = contents
        self.asked: list[tuple[str, str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://localhost:{self.server_port}"


class Visit(BaseHTTPRequestHandler):
    server: OtherSite

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers["authorization"]))
        content = self.server.contents.get(self.path.partition("?")[0])
        told = content() if callable(content) else content
        kind, body = sent(told)
        self.send_response(404 if content is None else 200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_OPTIONS = do_GET  # noqa: N815 - as the base class names them

    def log_message(self, *_: object) -> None:
        return


def sent(told: object) -> tuple[str, bytes]:
    """Return what a content is sent as: its type, and its bytes."""
    match told:
        case bytes():
            return "text/javascript", told
        case str():
            return "text/html; charset=utf-8", told.encode()
        case _:
            return "application/json", json.dumps(told).encode()


@contextlib.contextmanager
def site(port: int, contents: Mapping[str, Content]) -> Iterator[OtherSite]:
    """Serve as long as the block."""
    it = OtherSite(port, contents)
    serving = threading.Thread(target=it.serve_forever)
    serving.start()
    try:
        yield it
    finally:
        it.shutdown()
        serving.join()
        it.server_close()
