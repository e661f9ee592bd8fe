"""Event streams that one caller asks for: more than it may have cost no replica's time."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.auth.api_keys import KEY_PREFIX
from actors.edge.problems import STATUS
from actors.edge.streams import RETRY_SECONDS, STREAMS_OF_A_KEY, STREAMS_OF_A_USER
from tests.fakes.haproxy import SECONDS_MAX, Replica, Replicas, ask, haproxy, request
from tests.service.running import wait_until

TOKEN = "Authorization: Bearer eyJ.eyJ.one"
ANOTHER = "Authorization: Bearer eyJ.eyJ.two"
KEY = f"Authorization: Bearer {KEY_PREFIX}x"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[int]:
    """Yield the port of an HAProxy before a replica that ends no stream until the test is over."""
    Replica.slow.clear()
    Replica.go_on.clear()
    with Replicas(("127.0.0.1", 0), Replica) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            with haproxy(tmp_path, server.server_address[1]) as port:
                wait_until(lambda: ask(port, request("/ok"))[0] == 200, SECONDS_MAX)
                yield port
        finally:
            Replica.go_on.set()
            server.shutdown()
    Replica.slow.clear()
    Replica.go_on.clear()


def begin(stack: contextlib.ExitStack, port: int, path: str, shown: str, many: int) -> None:
    """Begin streams, and return when all of them are at the replica."""
    wanted = len(Replica.slow) + many
    for _ in range(many):
        connection = socket.create_connection(("127.0.0.1", port), SECONDS_MAX)
        stack.enter_context(connection).sendall(request(path, shown))
    wait_until(lambda: len(Replica.slow) == wanted, SECONDS_MAX)


@pytest.mark.parametrize("path", ["/events", "/events/", "/events?types=x"])
@pytest.mark.parametrize(("shown", "share"), [(TOKEN, STREAMS_OF_A_USER), (KEY, STREAMS_OF_A_KEY)])
def test_who_has_its_share_of_streams_is_told_so_at_once(
    proxy: int, path: str, shown: str, share: int
) -> None:
    with contextlib.ExitStack() as stack:
        begin(stack, proxy, path, shown, share)

        status, headers, body = ask(proxy, request(path, shown))
        begin(stack, proxy, path, ANOTHER, 1)  # Nobody else's are fewer for it.

        problem = json.loads(body)
        assert status == problem["status"] == STATUS[problem["code"]] == 429
        assert headers["content-type"] == "application/problem+json"
        assert headers["retry-after"] == str(RETRY_SECONDS)
        assert ask(proxy, request("/ok", shown))[0] == 200
        assert len(Replica.slow) == share + 1


def test_a_stream_that_has_ended_leaves_its_place(proxy: int) -> None:
    with contextlib.ExitStack() as stack:
        begin(stack, proxy, "/events", TOKEN, STREAMS_OF_A_USER)
        assert ask(proxy, request("/events", TOKEN))[0] == 429
        Replica.go_on.set()

        wait_until(lambda: ask(proxy, request("/events", TOKEN))[0] == 200, SECONDS_MAX)
