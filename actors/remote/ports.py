"""Which ports a service listens on: ones that no program has, and that no other service is about to take.

Between looking whether a port is free and listening there lie seconds, in which another service may look,
too. HAProxy would share the port with that one's, and each would get some of the other's requests. So a
port is claimed first, on systems that have names which end with the process that has them.
"""

import contextlib
import logging
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

logger = logging.getLogger(__name__)


def free_ports(count: int) -> list[int]:
    """Return different ports that no program listens on now. Raises OSError where none is found."""
    found: list[int] = []
    for port in secrets.SystemRandom().sample(SERVER_PORTS, PORTS_TRIED_MAX):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"Of {PORTS_TRIED_MAX} ports that were tried, {len(found)} are free")


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
def proxy_ports(environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the variables that say PROXY_PORTS, which this service has as long as the block.

    They are what the operator has set, else the first free ones from Serve's own on. Raises
    CannotStartError.
    """
    with contextlib.ExitStack() as stack:
        found = {}
        for variable, first in PROXY_PORTS.items():
            if variable in environ:
                port = int(environ[variable])
                stack.enter_context(claimed(LOOPBACK, port, variable))
            elif (port := stack.enter_context(claimed_from(first))) != first:
                logger.warning("Port %s is taken: %s is %s", first, variable, port)
            found[variable] = str(port)
        yield found


@contextlib.contextmanager
def claimed_from(first: int) -> Iterator[int]:
    """Yield the first port from here on that could be claimed on loopback. Raises CannotStartError."""
    for port in range(first, first + PORTS_TRIED_MAX):
        try:
            claim = claim_of(LOOPBACK, port)
        except OSError:
            continue
        with claim:
            yield port
        return
    raise CannotStartError(f"Of {PORTS_TRIED_MAX} ports from {first} on, none is free.")


def claim_of(host: str, port: int) -> socket.socket:
    """Return what holds a claim until it is closed. Raises OSError where the port is taken."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        if sys.platform == "linux":  # A name without a file, for one socket of a machine at a time.
            claim.bind(f"\0allotment-port-{port}")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except BaseException:
        claim.close()
        raise
    return claim
