"""Connections that are there and ask for nothing, or show no key: they are not all that there are."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from bench.haproxy import write_configuration
from tests.fakes.haproxy import (
    SECONDS_MAX,
    Replica,
    Replicas,
    ask,
    guard,
    haproxy,
    request,
    run_guard,
)
from tests.service.running import wait_until

BOUND = 20
WAITS_SECONDS = 0.3  # How long a connection is seen to wait.
KEY = "Authorization: Bearer allot_x"


@contextlib.contextmanager
def proxy_with(folder: Path, **settings: str) -> Iterator[int]:
    """Yield the port of an HAProxy before a replica."""
    with Replicas(("127.0.0.1", 0), Replica) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            with haproxy(folder, server.server_address[1], **settings) as port:
                wait_until(lambda: ask(port, request("/ok"))[0] == 200, SECONDS_MAX)
                yield port
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Yield the port of an HAProxy that gives few connections to a source."""
    folder = tmp_path_factory.mktemp("sources")
    with proxy_with(folder, ALLOTMENT_CONNECTIONS_PER_SOURCE=str(BOUND)) as port:
        yield port


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), SECONDS_MAX, (source, 0))


def answers(connection: socket.socket, sent: bytes) -> bool:
    """Whether a request is answered, and its connection not closed at once."""
    try:
        connection.sendall(sent)
        return connection.recv(1) == b"H"
    except OSError:
        return False


def held(stack: contextlib.ExitStack, port: int, source: str = "127.0.0.1") -> bool:
    """Whether one more connection of a source is taken; it stays open as long as the block."""
    try:
        connection = connect(port, source)
    except ConnectionError:
        return False
    stack.enter_context(connection)
    return answers(connection, request("/ok", KEY))


def test_idle_connections_of_one_source_leave_room_for_others(proxy: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(BOUND):  # One of before may still be ending.
            wait_until(lambda: held(stack, proxy), SECONDS_MAX)
        one_more = held(stack, proxy)
        other = held(stack, proxy, "127.0.0.2")

    with contextlib.ExitStack() as stack:
        wait_until(lambda: held(stack, proxy), SECONDS_MAX)
    assert (one_more, other) == (False, True)


def test_more_connections_than_there_are_wait_until_one_ends(tmp_path: Path) -> None:
    few = {"RAY_SERVE_HAPROXY_MAXCONN": str(BOUND), "ALLOTMENT_CONNECTIONS_PER_SOURCE": "0"}
    with (
        proxy_with(tmp_path, **few) as port,
        contextlib.ExitStack() as stack,
        contextlib.ExitStack() as last,
    ):
        for _ in range(BOUND - 1):  # One of before may still be ending.
            wait_until(lambda: held(stack, port), SECONDS_MAX)
        assert held(last, port)
        waiting = stack.enter_context(connect(port))
        waiting.settimeout(WAITS_SECONDS)
        waiting.sendall(request("/ok", KEY))
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        last.close()
        waiting.settimeout(SECONDS_MAX)

        assert waiting.recv(1) == b"H"


@pytest.mark.parametrize(
    ("sent", "closed"),
    [
        (request("/ok"), True),
        (request("/-/healthz"), True),
        (request("/-/healthz", KEY), True),
        (request("/ok", KEY), False),
        (request("/ours", KEY), False),
    ],
    ids=["no key", "401 without a key", "401 with one", "a key", "503 with a key"],
)
def test_who_shows_no_key_that_does_is_disconnected_after_the_answer(
    proxy: int, sent: bytes, *, closed: bool
) -> None:
    with connect(proxy) as connection, connection.makefile("rb") as answer:
        connection.sendall(sent)
        first = read_answer(answer)
        with contextlib.suppress(OSError):
            connection.sendall(sent)
        second = read_answer(answer)

    assert first
    assert bool(second) is not closed


def read_answer(answer: BinaryIO) -> bytes:
    """Read a whole answer, by the length that it tells; nothing where the connection is closed."""
    head = b""
    try:
        while not head.endswith(b"\r\n\r\n"):
            line = answer.readline()
            if not line:
                return b""
            head += line
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head + answer.read(length)
    except OSError:
        return b""


@pytest.mark.parametrize(("setting", "rules"), [("", 1), ("7", 1), ("0", 0)])
def test_an_operator_says_how_many_a_source_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, rules: int
) -> None:
    monkeypatch.setenv("ALLOTMENT_CONNECTIONS_PER_SOURCE", setting)
    file = write_configuration(tmp_path, 8000, 30_000)

    guard(file)
    once = file.read_text()
    guard(file)

    assert file.read_text() == once
    assert once.count("tcp-request connection reject") == rules
    assert (f"sc1_conn_cur gt {setting or 2048} " in once) == bool(rules)


def test_a_guarded_file_without_the_bound_starts_no_haproxy(tmp_path: Path) -> None:
    file = write_configuration(tmp_path, 8000, 30_000)
    guard(file)
    file.write_text(file.read_text().replace("tcp-request connection reject", "# reject"))

    assert run_guard(file).returncode == 1
