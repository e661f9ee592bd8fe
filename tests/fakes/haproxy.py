"""HAProxy as the service runs it, before a web server of the test's own."""

import contextlib
import os
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

import bench.haproxy
from actors.remote import environment as ray_environment
from tests.patience import PATIENCE_SECONDS

SCRIPT = ray_environment.GUARD
SECONDS_MAX = PATIENCE_SECONDS
ANSWERS = {
    "/ok": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "/uvicorn": b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 7\r\nconnection: close\r\n\r\nInvalid",
    "/websocket": b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 0\r\n\r\n",
    "/routes": b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 9\r\n\r\nNot found",
    "/serve": b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 8\r\n\r\nTypeErro",
    "/ours": b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b'Content-Length: 15\r\n\r\n{"code":"ours"}',
    "/garbage": b"garbage\r\n\r\n",
    "/long": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
}

SLOW = ("/slow", "/events", "/events/")
"""What is answered when the test says so."""


def run_guard(file: Path) -> subprocess.CompletedProcess[str]:
    """Run the stand-in as Serve does. What HAProxy is given comes out."""
    return subprocess.run(
        [SCRIPT, "-db", "-f", file, "-x", "socket"],
        env=os.environ | {"ALLOTMENT_HAPROXY_BINARY": "/bin/echo"},
        capture_output=True,
        text=True,
        check=False,
    )


def guard(file: Path) -> list[str]:
    """Run the stand-in; return what HAProxy is given."""
    done = run_guard(file)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


class Replica(socketserver.StreamRequestHandler):
    """Answers as its address says: in the ways in which a web server goes wrong."""

    slow: ClassVar[list[str]] = []
    heads: ClassVar[dict[str, list[str]]] = {}
    """The newest headers that came to each address."""
    go_on = threading.Event()

    def handle(self) -> None:
        target = self.rfile.readline().split()[1].decode().partition("?")[0]
        Replica.heads[target] = head = []
        while line := self.rfile.readline().strip():
            head.append(line.decode("latin-1"))
        if target in SLOW:
            Replica.slow.append(target)
            Replica.go_on.wait(SECONDS_MAX)
        answer = ANSWERS.get(target, ANSWERS["/ok"]) if target != "/" else b""
        first, line_end, rest = answer.partition(b"\r\n")
        if first.startswith(b"HTTP/") and b"connection: close" not in rest:
            # Said, since it is so: HAProxy would send the next request on what ends here.
            rest = b"Connection: close\r\n" + rest
        with contextlib.suppress(OSError):
            self.wfile.write(first + line_end + rest)


class Replicas(socketserver.ThreadingTCPServer):
    request_queue_size = 1_024


@contextlib.contextmanager
def haproxy(folder: Path, replica: int, **settings: str) -> Iterator[int]:
    """Run HAProxy as Serve would; yield its port."""
    with haproxy_process(folder, replica, **settings) as (port, _):
        yield port


@contextlib.contextmanager
def haproxy_process(folder: Path, replica: int, **settings: str) -> Iterator[tuple[int, int]]:
    """Run HAProxy as Serve would; yield its port and the number of its process."""
    binary = ray_environment.haproxy_binary()
    if binary is None:
        pytest.skip("there is no HAProxy for this system")
    with bench.haproxy.haproxy_process(folder, replica, binary, **settings) as found:
        yield found


def request(target: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


def ask(port: int, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer to some bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX) as connection:
        connection.sendall(sent)
        with connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            lines = iter(lambda: answer.readline().decode().strip().lower(), "")
            headers = dict(line.split(": ", 1) for line in lines)
            return status, headers, answer.read(int(headers.get("content-length", "0")))
