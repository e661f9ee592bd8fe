"""HTTP/2 in clear text: refused before it costs HAProxy any memory."""

import contextlib
import re
import socket
from pathlib import Path

from tests.fakes.haproxy import (
    SECONDS_MAX,
    Replica,
    Replicas,
    ask,
    haproxy,
    haproxy_process,
    request,
)
from tests.fakes.http2 import begun_posts, greeting

CONNECTIONS = 400
GROWTH_MAX = 64 * 2**20  # Bytes; a stream with a buffer of its own would make it 1.3 GB.


def resident_bytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_http2_in_clear_text_is_refused(tmp_path: Path) -> None:
    with (
        haproxy(tmp_path, 0) as port,
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX) as connection,
    ):
        connection.sendall(greeting())
        with connection.makefile("rb") as answer:
            told = answer.read()  # It is closed.

    assert told.startswith(b"HTTP/1.1 400 ")
    assert b"invalid_request" in told


def test_who_begins_many_requests_without_a_key_takes_no_memory(tmp_path: Path) -> None:
    with (
        Replicas(("127.0.0.1", 0), Replica) as server,
        haproxy_process(tmp_path, server.server_address[1]) as (port, pid),
        contextlib.ExitStack() as stack,
    ):
        before = resident_bytes(pid)
        sent = begun_posts()
        for _ in range(CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX)
            with contextlib.suppress(ConnectionError):
                stack.enter_context(connection).sendall(sent)
        assert ask(port, request("*"))[0] == 400  # It has read what came before.

        assert resident_bytes(pid) - before < GROWTH_MAX
