"""Which ports a service listens on: ones that no program has, and that no other service is about to take.

Between looking whether a port is free and listening there lie seconds, in which another service may look,
too. HAProxy would share the port with that one's, and each would get some of the other's requests. So a
port is claimed first, on systems that have names which end with the process that has them.
"""

import contextlib
import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping

from actors.remote.environment import LOOPBACK
from actors.remote.start_steps import CannotStartError

# Below what systems give to clients: one of those could take it before its server does.
SERVER_PORTS = range(20_000, 30_000)
PORTS_TRIED_MAX = 100

PROXY_PORTS = {
    "RAY_SERVE_HAPROXY_STATS_PORT": 8404,
    "RAY_SERVE_HAPROXY_METRICS_PORT": 9101,
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": 8500,
}
"""The ports of HAProxy and of Serve beside the one of HTTP, by the variables that say them."""
AT_HTTP_HOST = frozenset({"RAY_SERVE_FALLBACK_PROXY_HTTP_PORT"})
"""Those that are listened on where HTTP is; the others are on loopback."""

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def claimed_ports(count: int) -> Iterator[list[int]]:
    """Yield different ports on loopback that nobody has but this service as long as the block.

    Raises OSError: there are too few.
    """
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        for port in secrets.SystemRandom().sample(SERVER_PORTS, PORTS_TRIED_MAX):
            with contextlib.suppress(OSError):
                stack.enter_context(claim_of(LOOPBACK, port))
                found.append(port)
            if len(found) == count:
                break
        else:
            raise OSError(f"Of {PORTS_TRIED_MAX} ports that were tried, {len(found)} are free")
        yield found


@contextlib.contextmanager
def claimed(host: str, port: int, variable: str) -> Iterator[None]:
    """Have a port for this service as long as the block.

    Raises CannotStartError where another program listens there, or another service is about to.
    """
    try:
        claim = claim_of(host, port)
    except OSError as error:
        raise CannotStartError(
            f"Port {port} on {host} is taken: set {variable} to another one."
        ) from error
    with claim:
        yield


@contextlib.contextmanager
def proxy_ports(environ: Mapping[str, str], http_host: str) -> Iterator[dict[str, str]]:
    """Yield the variables that say PROXY_PORTS, which this service has as long as the block.

    They are what the operator has set, else the first free ones from Serve's own on. Raises
    CannotStartError.
    """
    with contextlib.ExitStack() as stack:
        found = {}
        for variable, first in PROXY_PORTS.items():
            host = host_of(variable, http_host)
            if variable in environ:
                port = int(environ[variable])
                stack.enter_context(claimed(host, port, variable))
            elif (port := stack.enter_context(claimed_from(first, host))) != first:
                logger.warning("Port %s is taken: %s is %s", first, variable, port)
            found[variable] = str(port)
        yield found


def host_of(variable: str, http_host: str) -> str:
    """Return where the port that a variable says is listened on."""
    return http_host if variable in AT_HTTP_HOST else LOOPBACK


@contextlib.contextmanager
def claimed_from(first: int, host: str = LOOPBACK) -> Iterator[int]:
    """Yield the first port from here on that could be claimed at a host. Raises CannotStartError."""
    for port in range(first, first + PORTS_TRIED_MAX):
        try:
            claim = claim_of(host, port)
        except OSError:
            continue
        with claim:
            yield port
        return
    raise CannotStartError(f"Of {PORTS_TRIED_MAX} ports from {first} on, none is free.")


def check_ports(ports: Mapping[str, tuple[str, int]]) -> None:
    """Raise CannotStartError where another program has come to listen on one of this service's ports.

    `ports`: hosts and ports, by what sets them. HAProxy would try to listen there again and again.
    """
    taken = {variable: place for variable, place in ports.items() if not may_listen(*place)}
    ours = ports_below(os.getpid()) if taken else set()
    for variable, (_, port) in taken.items():
        if port not in ours:
            raise CannotStartError(
                f"Another program took port {port} during the start: start again, or set {variable}"
                " to another one."
            )


def may_listen(host: str, port: int) -> bool:
    """Say whether nobody listens at an address."""
    try:
        probe_at(host, port)
    except OSError:
        return False
    return True


def probe_at(host: str, port: int) -> None:
    """Raise OSError where another program listens at an address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def ports_below(pid: int) -> set[int]:
    """Return the ports that the processes started by one listen on, and those started by them."""
    import psutil  # noqa: PLC0415 - Ray brings it, and it is found once ray is imported

    found = set()
    with contextlib.suppress(psutil.Error):  # It has ended.
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found |= {
                    connection.laddr.port
                    for connection in process.net_connections("tcp")
                    if connection.status == psutil.CONN_LISTEN
                }
    return found


def claim_of(host: str, port: int) -> socket.socket:
    """Return what holds a claim until it is closed. Raises OSError where the port is taken."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        if sys.platform == "linux":  # A name without a file, for one socket of a machine at a time.
            claim.bind(f"\0allotment-port-{port}")
        probe_at(host, port)
    except BaseException:
        claim.close()
        raise
    return claim
