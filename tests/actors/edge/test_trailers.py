"""What comes behind a body is no header: such a request is refused, and nothing of it is done."""

import contextlib
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive
from uvicorn import Server
from uvicorn.config import HTTP_PROTOCOLS, Config

from actors.auth.caller import Scope
from actors.edge import gate, heads
from actors.serving import shortcut
from tests.fakes.edge import CREDITS
from tests.fakes.haproxy import haproxy
from tests.fakes.interface import Listening, listening
from tests.patience import PATIENCE_SECONDS

BODY = b'{"user_id": "ada", "service_type": "chat", "credit_amount": 1}'


@pytest.fixture(scope="module")
def interface() -> Iterator[Listening]:
    with listening() as interface, httpx.Client(headers=interface.headers()) as http:
        http.post(f"{interface.address}/subscription/credits", json=CREDITS)
        yield interface


@pytest.fixture(scope="module")
def proxied(interface: Listening, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with haproxy(tmp_path_factory.mktemp("proxy"), interface.port) as port:
        yield port


def head(interface: Listening, *headers: str, path: str = "/subscription/usage") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/json"]
    return "\r\n".join([*lines, "Transfer-Encoding: chunked", *headers, "", ""]).encode()


def send(port: int, *parts: bytes) -> tuple[int, bytes]:
    """Send parts, each as a packet of its own; return status and all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place, part in enumerate(parts):
            if place:
                time.sleep(0.05)  # What is told apart is how it arrives: no answer can be awaited.
            with contextlib.suppress(OSError):  # It may have been answered, and closed, before.
                connection.sendall(part)
        with connection.makefile("rb") as answer:
            line = answer.readline()
            return (int(line.split()[1]) if line else 0), answer.read(200)


def entries(interface: Listening) -> int:
    return len(interface.store.journal)


def bearer(interface: Listening) -> str:
    return f"Authorization: Bearer {interface.keys[Scope.ADMIN]}"


CHUNKED = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
TRAILERS = ["Idempotency-Key: late", "X-Request-Timeout-Seconds: 0.001", "X-Anything: 1"]


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("packets", [1, 2, 3])
@pytest.mark.parametrize("trailer", TRAILERS)
@pytest.mark.parametrize("path", ["/subscription/usage", "/subscription/usage/"])
def test_a_request_with_trailers_is_refused(
    interface: Listening, path: str, trailer: str, packets: int, *, announced: bool
) -> None:
    before = entries(interface)
    names = [f"Trailer: {trailer.partition(':')[0]}"] if announced else []
    begun = head(interface, bearer(interface), "Connection: close", *names, path=path)
    rest = f"{trailer}\r\n\r\n".encode()
    parts = {1: [begun + CHUNKED + rest], 2: [begun, CHUNKED + rest], 3: [begun, CHUNKED, rest]}

    status, _ = send(interface.port, *parts[packets])

    assert status == 400
    assert entries(interface) == before


@pytest.mark.parametrize("packets", [1, 3])
def test_no_key_in_a_trailer_lets_anybody_in(interface: Listening, packets: int) -> None:
    before = entries(interface)
    begun, rest = head(interface, "Connection: close"), f"{bearer(interface)}\r\n\r\n".encode()

    status, _ = send(
        interface.port, *([begun + CHUNKED + rest] if packets == 1 else [begun, CHUNKED, rest])
    )

    assert status in (400, 401)
    assert entries(interface) == before


@pytest.mark.parametrize("trailer", TRAILERS)
def test_it_is_refused_through_haproxy_in_a_problem_body(
    interface: Listening, proxied: int, trailer: str
) -> None:
    before = entries(interface)
    begun = head(interface, bearer(interface), "Connection: close")

    status, rest = send(proxied, begun + CHUNKED + f"{trailer}\r\n\r\n".encode())

    assert status == 400
    assert b"application/problem+json" in rest
    assert entries(interface) == before


@pytest.mark.parametrize("through", ["replica", "haproxy"])
def test_a_body_in_chunks_is_taken_as_ever(
    interface: Listening, proxied: int, through: str
) -> None:
    port = interface.port if through == "replica" else proxied
    begun = head(interface, bearer(interface), "Connection: close")

    whole = send(port, begun + CHUNKED + b"\r\n")
    in_parts = send(port, begun, CHUNKED, b"\r\n")

    assert (whole[0], in_parts[0]) == (201, 201)


def test_only_a_body_that_is_still_to_come_is_waited_for(
    interface: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[bytes] = []

    async def noting(receive: Receive) -> bytes:
        waited.append(await gate.read_body(receive))
        return waited[-1]

    monkeypatch.setattr(gate, "read_in_time", noting)
    begun = head(interface, bearer(interface), "Connection: close")

    whole = send(interface.port, begun + CHUNKED + b"\r\n")
    before = list(waited)
    in_parts = send(interface.port, begun, CHUNKED, b"\r\n")

    assert (whole[0], in_parts[0]) == (201, 201)
    assert (before, waited) == ([], [BODY])


def test_a_connection_that_goes_on_begins_each_request_anew(interface: Listening) -> None:
    begun = head(interface, bearer(interface))
    last = head(interface, bearer(interface), "Connection: close")
    with socket.create_connection(("127.0.0.1", interface.port), PATIENCE_SECONDS) as connection:
        connection.sendall((begun + CHUNKED + b"\r\n") * 2 + last + CHUNKED + b"\r\n")
        with connection.makefile("rb") as answers:
            received = answers.read()

    assert received.count(b"HTTP/1.1 201 ") == 3


def test_serves_web_server_reads_requests_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", "uvicorn.protocols.http.auto:AutoHTTPProtocol")
    monkeypatch.setattr(Server, "startup", Server.startup)

    shortcut.middlewares()
    config = Config(shortcut.Shortcut(PlainTextResponse("")), log_config=None, lifespan="off")
    config.load()

    assert config.http_protocol_class is heads.HeadProtocol
