"""The commands for a cluster: its environment, taking a node away, starting anew with new code."""

import contextlib
import logging
import os
import shlex
from collections.abc import Iterator
from typing import Annotated

import typer

from actors import ray_environment
from actors.settings import Settings
from actors.terminal import fail, load_settings, out

NO_SERVICE = "No service runs here: RAY_ADDRESS or the data directory say where one does."


def environment() -> None:
    """Print what has to be in the environment of `ray start`, on every node, as shell commands.

    `eval "$(allotment environment)"` sets it: Ray reads it there, and nowhere later.
    """
    for name, value in ray_environment.cluster_environment().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def drain(
    node: Annotated[str, typer.Argument(help="Its id, or how that begins: `allotment status`.")],
) -> None:
    """Take a node of the cluster out of use: move its shards, one after another, to the others.

    No request fails. Nothing is put on the node any more, and it may be ended. For good: a node
    that is to come back is started anew. Given again, it goes on where it was interrupted.
    """
    with joined():
        from actors import moving  # noqa: PLC0415 - imports ray, whose environment is set first

        try:
            moving.drain(node, tell)
        except moving.NotMovedError as error:
            fail(str(error))
    out.print("the node is empty", highlight=False)


def restart() -> None:
    """Start all processes anew, one after another, with the code that is on disk.

    No request fails. Shards are put on the nodes evenly, so this is also for a node that has
    joined. Settings stay as `allotment up` has read them. Given again, it starts over.
    """
    with joined():
        from actors import moving, serving  # noqa: PLC0415 - imports ray, as above

        try:
            moving.restart(tell, serving.roll)
        except moving.NotMovedError as error:
            fail(str(error))
    out.print("all runs anew", highlight=False)


def tell(step: str) -> None:
    """Print what is done now."""
    out.print(f"moving {step} …", highlight=False)


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Be part of the running service's cluster as long as the block."""
    address = cluster_address(load_settings())
    ray_environment.prepare()
    import ray  # noqa: PLC0415 - reads its environment when it is imported

    from actors.detached import NAMESPACE  # noqa: PLC0415 - imports ray

    try:
        ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError):
        fail(NO_SERVICE)
    try:
        yield
    finally:
        ray.shutdown()


def cluster_address(settings: Settings) -> str:
    """Return where the cluster is, or end the command."""
    address_file = settings.data_dir / "ray.address"
    if named := os.environ.get("RAY_ADDRESS"):
        return named
    if not address_file.exists():
        fail(NO_SERVICE)
    return address_file.read_text()


def add_cluster_commands(app: typer.Typer) -> None:
    """Add the commands for a cluster."""
    for command in (environment, drain, restart):
        app.command()(command)
