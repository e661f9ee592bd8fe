"""Ports of a service: none that a program listens on, none that another service is about to take."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from actors.remote.ports import (
    PROXY_PORTS,
    check_ports,
    claimed,
    claimed_from,
    claimed_ports,
    ports_below,
    proxy_ports,
)
from actors.remote.start_steps import CannotStartError

HOST = "127.0.0.1"
ANOTHER_HOST = "127.0.0.2"  # Linux has all of 127 on loopback.
METRICS = "RAY_SERVE_HAPROXY_METRICS_PORT"
FALLBACK = "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT"
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names to claim")


@pytest.fixture
def port() -> int:
    with claimed_ports(1) as ports:
        return ports[0]


def test_ports_that_are_claimed_together_are_different_ones() -> None:
    with claimed_ports(8) as ports:
        assert len(set(ports)) == 8


def test_a_port_that_a_program_listens_on_is_told(port: int) -> None:
    sentence = f"Port {port} on {HOST} is taken: set {METRICS} to another one."
    with (
        socket.create_server((HOST, port)),
        pytest.raises(CannotStartError, match=sentence),
        claimed(HOST, port, METRICS),
    ):
        pytest.fail("it is taken")


def test_the_next_free_port_is_found(port: int) -> None:
    with socket.create_server((HOST, port)), claimed_from(port) as found:
        assert port < found <= port + 99


@linux
def test_what_is_claimed_is_nobody_elses_until_it_is_let_go(port: int) -> None:
    with claimed(HOST, port, METRICS):
        with claimed_from(port) as next_one:
            assert next_one > port
        with pytest.raises(CannotStartError), claimed(HOST, port, METRICS):
            pytest.fail("it is claimed")

    with claimed_from(port) as again:
        assert again == port


@linux
def test_a_port_that_is_claimed_is_not_free(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.remote.ports.SERVER_PORTS", [port])
    monkeypatch.setattr("actors.remote.ports.PORTS_TRIED_MAX", 1)
    with (
        claimed(HOST, port, METRICS),
        pytest.raises(OSError, match="0 are free"),
        claimed_ports(1),
    ):
        pytest.fail("it is claimed")

    with claimed_ports(1) as ports, pytest.raises(OSError, match="0 are free"), claimed_ports(1):
        pytest.fail("it is claimed")
    assert ports == [port]


@linux
def test_a_claim_ends_with_its_process(port: int) -> None:
    program = f"""
import time
from actors.remote.ports import claimed
with claimed("{HOST}", {port}, "{METRICS}"):
    print("claimed", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "claimed\n"
            with claimed_from(port) as meanwhile:
                assert meanwhile > port
        finally:
            other.kill()
    with claimed_from(port) as afterwards:
        assert afterwards == port


def test_who_listens_may_take_what_it_has_claimed(port: int) -> None:
    with claimed(HOST, port, METRICS), socket.create_server((HOST, port)) as server:
        assert server.getsockname()[1] == port


def test_two_services_have_different_ports() -> None:
    with proxy_ports({}, HOST) as ones, proxy_ports({}, HOST) as others:
        assert set(ones) == set(others) == set(PROXY_PORTS)
        assert len({*ones.values(), *others.values()}) == 2 * len(PROXY_PORTS)


def test_a_port_that_is_set_is_kept_or_refused(port: int) -> None:
    with proxy_ports({METRICS: str(port)}, HOST) as ports:
        assert ports[METRICS] == str(port)
    with (
        socket.create_server((HOST, port)),
        pytest.raises(CannotStartError, match=METRICS),
        proxy_ports({METRICS: str(port)}, HOST),
    ):
        pytest.fail("it is taken")


def test_where_no_port_is_free_the_start_says_so(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.remote.ports.PORTS_TRIED_MAX", 1)
    with (
        socket.create_server((HOST, port)),
        pytest.raises(CannotStartError, match="none is free"),
        claimed_from(port),
    ):
        pytest.fail("none is free")


@pytest.fixture
def childs_port() -> Iterator[int]:
    """Yield a port that a process listens on which this one has started."""
    listen = f"import socket, time; s = socket.create_server(('{HOST}', 0)); "
    listen += "print(s.getsockname()[1], flush=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", listen], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        try:
            yield int(child.stdout.readline())
        finally:
            child.kill()


def test_what_another_program_listens_on_is_not_below_this_one(childs_port: int, port: int) -> None:
    with socket.create_server((HOST, port)):
        found = ports_below(os.getpid())

    assert childs_port in found
    assert port not in found


@pytest.mark.parametrize("anothers", [HOST, ""], ids=["loopback", "everywhere"])
def test_a_port_that_another_program_took_during_the_start_is_told(
    childs_port: int, port: int, anothers: str
) -> None:
    ours = {"ALLOTMENT_HTTP_PORT": (HOST, childs_port), METRICS: (HOST, port)}

    check_ports(ours)
    with (
        socket.create_server((anothers, port)),
        pytest.raises(CannotStartError, match=f"took port {port} .* set {METRICS} to another"),
    ):
        check_ports(ours)


@linux
def test_what_listens_at_another_address_takes_nothing(port: int) -> None:
    with socket.create_server((ANOTHER_HOST, port)):
        check_ports({METRICS: (HOST, port)})
        with pytest.raises(CannotStartError):
            check_ports({METRICS: ("", port)})


@linux
def test_serves_own_port_is_looked_for_where_http_is_and_the_others_on_loopback(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    first = port
    monkeypatch.setattr("actors.remote.ports.PROXY_PORTS", {FALLBACK: first, METRICS: first + 50})
    with (
        socket.create_server((ANOTHER_HOST, first)),
        socket.create_server((ANOTHER_HOST, first + 50)),
        proxy_ports({}, "0.0.0.0") as ports,
    ):
        assert int(ports[FALLBACK]) > first
        assert int(ports[METRICS]) == first + 50
