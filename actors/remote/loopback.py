"""Keeps a local cluster on loopback: what listens, and where it is looked for.

`ray.init` takes a loopback address for the machine's outer one: it would start a local cluster there,
on all interfaces, and look for one there. A setting that Ray has for other systems says that
loopback is meant. It is read when ray is imported: so it is set in the environment of what we start,
and in a program that has imported ray already as long as it joins.

What this needs of Ray is no public interface: all of it is in this file.
"""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import ray
from ray._private import ray_constants

from actors.remote.environment import LOOPBACK

ALL_INTERFACES = "[::]:"


def join(address: str | None = None, **options: Any) -> Any:
    """Join the Ray cluster at an address, or at RAY_ADDRESS; return Ray's context.

    Raises what `ray.init` raises.
    """
    with loopback_kept():
        return ray.init(address, **options)


@contextlib.contextmanager
def loopback_kept() -> Iterator[None]:
    """Have Ray take loopback for what it is as long as the block."""
    theirs = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = theirs


def keep_replica_there() -> None:
    """Have this process's replica listen on loopback, where its node is.

    Serve binds what replicas tell each other by, pickles behind Ray's token, to all interfaces.
    """
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if address == LOOPBACK:
        bind_to_loopback(importlib.import_module("ray.serve._private.replica"))


def bind_to_loopback(replica: Any) -> None:
    """Have a module of Serve's bind to loopback what it would bind to all interfaces."""
    theirs = replica.add_port_to_grpc_server

    def add_port(server: Any, wanted: str) -> int:
        port: int = theirs(server, wanted.replace(ALL_INTERFACES, f"{LOOPBACK}:"))
        return port

    replica.add_port_to_grpc_server = add_port
