"""The commands for a cluster: its environment, taking a node away, starting anew with new code."""

import contextlib
import logging
import os
import shlex
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from actors.cli.terminal import AsJson, fail, load_settings, out, print_json
from actors.remote import environment as ray_environment
from actors.settings import Settings

NO_SERVICE = "No service runs here: RAY_ADDRESS or the data directory say where one does."


def environment(*, as_json: AsJson = False) -> None:
    """Print what has to be in the environment of `ray start`, on every node, as shell commands.

    `eval "$(allotment environment)"` sets it: Ray reads it there, and nowhere later.
    """
    variables = ray_environment.cluster_environment()
    variables |= ray_environment.haproxy_limits(load_settings())
    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def drain(
    node: Annotated[str, typer.Argument(help="Its id, or how that begins: `allotment status`.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Move everything off a node of the cluster, one after another: it may be ended then.

    No request fails. Nothing is put on the node any more. For good: a node that is to come back
    is started anew. Given again, it goes on where it was interrupted.
    """
    with joined(), told_steps(as_json=as_json) as tell:
        from actors.remote import rollout  # noqa: PLC0415 - imports ray, whose environment is set first

        try:
            rollout.drain(node, tell)
        except rollout.NotMovedError as error:
            fail(str(error))


def restart(*, as_json: AsJson = False) -> None:
    """Start all processes anew, one after another, with the code that is on disk.

    No request fails. Shards are put on the nodes evenly, so this is also for a node that has
    joined. Settings stay as `allotment up` has read them. Given again, it starts over.
    """
    with joined(), told_steps(as_json=as_json) as tell:
        from actors.remote import rollout  # noqa: PLC0415
        from actors.serving import deployment  # noqa: PLC0415 - imports ray, as above

        try:
            rollout.restart(tell, deployment.roll)
        except rollout.NotMovedError as error:
            fail(str(error))


@contextlib.contextmanager
def told_steps(*, as_json: bool) -> Iterator[Callable[[str], None]]:
    """Yield what is told each step: people see it at once, machines get all at the end."""
    steps: list[str] = []

    def tell(step: str) -> None:
        steps.append(step)
        if not as_json:
            out.print(f"moving {step} …", highlight=False)

    yield tell
    if as_json:
        print_json({"moved": steps})
    else:
        out.print("done", highlight=False)


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Be part of the running service's cluster as long as the block."""
    address = cluster_address(load_settings())
    ray_environment.prepare()
    import ray  # noqa: PLC0415 - reads its environment when it is imported

    from actors.remote.loopback import join  # noqa: PLC0415 - the same
    from actors.remote.options import NAMESPACE  # noqa: PLC0415 - imports ray

    try:
        join(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
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
