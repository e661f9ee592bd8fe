"""HAProxy as the service runs it: Serve's own configuration, guarded, before a web server of ours."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from actors.edge.gate import BODY_BYTES_MAX, HEADERS_MAX
from actors.edge.problems import STATUS
from actors.protocol.limits import HEADER_BYTES_MAX, REPLICA_REQUESTS_MAX, REPLICA_WRITES_MAX
from actors.remote import environment as ray_environment
from bench.haproxy import listens, write_configuration
from bench.processes import free_port
from tests.fakes.haproxy import (
    SCRIPT,
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


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what Serve writes, before it is guarded."""
    return write_configuration(tmp_path_factory.mktemp("serve"), 8000, 30_000).read_text()


def test_the_stand_in_puts_every_listener_on_loopback(tmp_path: Path, configuration: str) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(configuration)

    given = guard(file)

    bound = [
        line.split()[1] for line in file.read_text().splitlines() if line.strip()[:5] == "bind "
    ]
    assert len(bound) == 3
    assert all(address.startswith("127.0.0.1:") for address in bound)
    assert given == ["-db", "-f", str(file), "-x", "socket"]


def test_http_stays_on_all_interfaces_where_it_is_to_be_and_nothing_else_does(
    tmp_path: Path, configuration: str
) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(configuration.replace("bind 127.0.0.1:8000", "bind *:8000"))

    guard(file)

    bound = re.findall(r"^ *bind (\S+):", file.read_text(), re.MULTILINE)
    assert sorted(bound) == ["*", "127.0.0.1", "127.0.0.1"]


def test_what_is_logged_of_a_request_has_no_query(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as log,
        Replicas(("127.0.0.1", 0), Replica) as replicas,
    ):
        log.bind(("127.0.0.1", 0))
        log.settimeout(SECONDS_MAX)
        threading.Thread(target=replicas.serve_forever, daemon=True).start()
        target = f"127.0.0.1:{log.getsockname()[1]}"
        with haproxy(
            tmp_path, replicas.server_address[1], RAY_SERVE_HAPROXY_LOG_TARGET=target
        ) as port:
            for path in ("/garbage", "/long"):
                assert ask(port, request(f"{path}?token=secret"))[0] == 503
            lines = log.recv(65_536)
            while b"/long" not in lines:
                lines += log.recv(65_536)
        replicas.shutdown()

    assert b"GET /garbage" in lines
    assert b"secret" not in lines
    assert b"token" not in lines


def test_the_stand_in_guards_a_configuration_once(tmp_path: Path, configuration: str) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(configuration)

    guard(file)
    once = file.read_text()
    guard(file)

    assert file.read_text() == once
    assert "mode 600 level admin" in once
    assert once.count("# guarded") == once.count("timeout http-request 10s") == 1
    assert once.count("option dontlog-normal") == 1
    assert "status 404" not in once
    assert re.search(r"server replica 127.0.0.1:30000 check tcp-ut 5s", once)
    assert re.search(r"option srvtcpka\n *srvtcpka-idle 2s\n *srvtcpka-intvl 1s", once)
    assert f"req.body_size gt {BODY_BYTES_MAX} " in once
    assert f"req.fhdr_cnt gt {HEADERS_MAX} " in once
    assert f"sc0_conn_cur,div(txn.replicas) gt {REPLICA_WRITES_MAX} " in once
    assert f"be_conn,div(txn.replicas) gt {REPLICA_REQUESTS_MAX} " in once
    for path in re.findall(r"(?:errorfile (?:\d+ )?|json file )(\S+)", once):
        assert Path(path).parent.name == "answers_of_haproxy"
        assert Path(path).is_file()


@pytest.mark.parametrize(
    ("known", "other"),
    [
        ("global\n", "global # of all\n"),
        ("    maxconn 4096", "    maxconn lots"),
        ("mode 666", "mode 660"),
        ("stats socket", "stats sockets"),
        ("option httplog", "option tcplog"),
        ("frontend http_frontend", "frontend http"),
        ("bind :", "bind [::]:"),
        ("bind *:", "bind 0.0.0.0:"),
        ("http-reuse always", "http-reuse safe"),
        ("backend default_backend", "backend fallback_backend"),
        ("http-request return status 404", "http-request deny status 404"),
        (" check observe", " observe"),
        ("backend app", "backend other\n    balance leastconn\nbackend app"),
        ("listen stats", "listen pages\n    bind 127.0.0.1:1\nlisten stats"),
    ],
)
def test_a_configuration_that_is_not_the_known_one_starts_no_haproxy(
    tmp_path: Path, configuration: str, known: str, other: str
) -> None:
    file = tmp_path / "haproxy.cfg"
    assert known in configuration
    file.write_text(configuration.replace(known, other))

    for _ in range(2):  # The second time it has been changed already.
        refused = run_guard(file)

        assert refused.returncode == 1
        assert refused.stdout == ""
        assert "HAProxy is not started" in refused.stderr


def test_a_file_that_cannot_be_changed_starts_no_haproxy(tmp_path: Path) -> None:
    assert run_guard(tmp_path / "nothing.cfg").returncode == 1


@pytest.mark.parametrize("name", ["400", "401", "408", "413", "500", "503"])
def test_what_haproxy_answers_itself_is_a_problem_body(name: str) -> None:
    file = SCRIPT.parent / "answers_of_haproxy" / f"{name}.http"
    head, _, body = file.read_bytes().partition(b"\r\n\r\n")

    problem = json.loads(body)

    assert head.startswith(f"HTTP/1.1 {problem['status']} ".encode())
    assert problem["status"] == int(name)
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"application/problem+json" in head
    assert (b"Retry-After: 1" in head) == (name == "503")
    assert problem["code"] in STATUS


TRACE = f"00-{'4b' * 16}-{'0a' * 8}-01"
OTHER_TRACE = f"00-{'5c' * 16}-{'0a' * 8}-00"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the configuration of the HAProxy is that `proxy` runs."""
    return tmp_path_factory.mktemp("proxy")


@pytest.fixture(scope="module")
def proxy(folder: Path) -> Iterator[int]:
    """Yield the port of an HAProxy before a replica."""
    with Replicas(("127.0.0.1", 0), Replica) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            with haproxy(folder, server.server_address[1]) as port:
                wait_until(lambda: ask(port, request("/ok"))[0] == 200, SECONDS_MAX)
                yield port
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (request("/-/healthz"), 401, "unauthorized"),
        (request("/%2d/routes"), 401, "unauthorized"),
        (request("/-%2Froutes"), 401, "unauthorized"),
        (request("/%2D%2f%72outes"), 401, "unauthorized"),
        (request("http://a/%2d/routes"), 401, "unauthorized"),
        (request("/ok", *(f"X-{n}: 1" for n in range(200))), 413, "too_large"),
        (request("/ok", f"Content-Length: {BODY_BYTES_MAX + 1}") + b"x" * 40_000, 413, "too_large"),
        (request("*"), 400, "invalid_request"),
        (request("/uvicorn"), 400, "invalid_request"),
        (request("/websocket"), 400, "invalid_request"),
        (request("/routes"), 503, "overloaded"),
        (request("/serve"), 503, "overloaded"),
        (request("/"), 503, "overloaded"),
        (request("/garbage"), 503, "overloaded"),
        (request("/long"), 503, "overloaded"),
    ],
    ids=[
        "serve's own path",
        "with its dash encoded",
        "with its slash encoded",
        "with more of it encoded",
        "with its host",
        "headers",
        "body",
        "no path",
        "plain 400",
        "plain 403",
        "plain 404",
        "plain 500",
        "nothing",
        "garbage",
        "long head",
    ],
)
def test_whatever_goes_wrong_before_us_is_told_in_a_problem_body(
    proxy: int, sent: bytes, status: int, code: str
) -> None:
    answered, headers, body = ask(proxy, sent)

    assert answered == status
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["code"] == code
    assert ("retry-after" in headers) == (status == 503)


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        ([f"traceparent: {TRACE}", "tracestate: a=b"], [TRACE]),
        ([f"Traceparent: {TRACE}"], [TRACE]),
        ([f"traceparent: {TRACE}x"], []),
        ([f"traceparent: {TRACE.upper()}"], []),
        (["traceparent: \xff"], []),
        ([f"x-allotment-traceparent: {TRACE}"], []),
        ([f"X-Allotment-Traceparent: {TRACE}", f"traceparent: {OTHER_TRACE}"], [OTHER_TRACE]),
        ([], []),
    ],
)
def test_a_callers_trace_comes_under_our_name_alone(
    proxy: int, sent: list[str], passed: list[str]
) -> None:
    ask(proxy, request("/ok", *sent))

    came = [line.partition(": ") for line in Replica.heads["/ok"] if "trace" in line.lower()]

    assert [(name.lower(), value) for name, _, value in came] == [
        ("x-allotment-traceparent", value) for value in passed
    ]


def test_our_own_answers_pass_as_they_are(proxy: int) -> None:
    done, refused = ask(proxy, request("/ok")), ask(proxy, request("/ours"))

    assert (done[0], done[2]) == (200, b"{}")
    assert (refused[0], refused[2]) == (503, b'{"code":"ours"}')


def test_headers_that_are_too_long_for_us_are_not_too_long_for_haproxy(proxy: int) -> None:
    assert ask(proxy, request("/ok", "X: " + "y" * (HEADER_BYTES_MAX + 8 * 1024)))[0] == 200


def test_where_no_application_is_there_yet_clients_are_told_to_come_again(tmp_path: Path) -> None:
    with haproxy(tmp_path, 0) as port:
        status, headers, body = ask(port, request("/subscription/status?user_id=ada"))

    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body)["code"] == "overloaded"


PARENT = "import subprocess, sys; subprocess.Popen(sys.argv[1:]); sys.stdin.read()"
"""Starts what it is told to, as Serve's process does, and lives until its input ends."""


def test_haproxy_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("this system has no setpriv")
    binary = ray_environment.haproxy_binary()
    if binary is None:
        pytest.skip("there is no HAProxy for this system")
    port = free_port()
    file = write_configuration(tmp_path, port, 0)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, SCRIPT, "-db", "-f", file],
        stdin=subprocess.PIPE,
        env=os.environ | {"ALLOTMENT_HAPROXY_BINARY": binary},
    ) as parent:
        wait_until(lambda: listens(port), SECONDS_MAX)

        parent.kill()

    wait_until(lambda: not listens(port), SECONDS_MAX)


def refusals(folder: Path) -> float:
    """Return how often HAProxy has refused itself: its 5xx without those of replicas."""
    found = re.search(r"frontend prometheus\n *bind (\S+)", (folder / "haproxy.cfg").read_text())
    assert found is not None, "Serve writes it"
    lines = httpx.get(f"http://{found[1]}/metrics").text.splitlines()
    told, passed_on = (
        sum(float(line.split()[-1]) for line in lines if re.match(pattern, line))
        for pattern in (
            r'haproxy_frontend_http_responses_total\{proxy="http_frontend",code="5xx"\}',
            r'haproxy_server_http_responses_total\{.*code="5xx"\}',
        )
    )
    return told - passed_on


def test_more_writes_than_replicas_can_work_on_are_refused_at_once_and_reads_are_not(
    proxy: int, folder: Path
) -> None:
    key = b"Authorization: Bearer allot_x\r\n"
    head = b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" + key + b"\r\n"

    with contextlib.ExitStack() as stack:
        for _ in range(REPLICA_WRITES_MAX):
            connection = socket.create_connection(("127.0.0.1", proxy), timeout=SECONDS_MAX)
            stack.enter_context(connection).sendall(head)
        wait_until(lambda: len(Replica.slow) == REPLICA_WRITES_MAX, SECONDS_MAX)
        counted = refusals(folder)
        status, headers, body = ask(proxy, head)
        counted = refusals(folder) - counted
        read = ask(proxy, request("/ok"))[0]
        Replica.go_on.set()

    assert (status, headers["retry-after"]) == (503, "1")
    assert "connection" not in headers
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["code"] == "overloaded"
    assert counted == 1
    assert read == 200
    wait_until(lambda: ask(proxy, head)[0] == 200, SECONDS_MAX)
