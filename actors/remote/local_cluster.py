"""Joins the Ray cluster at RAY_ADDRESS, or starts a local one and ends it.

Ray's own start fails on a busy machine. The raylet ends itself where its two agents, Python
programs that import much, have not written down their ports within 15 seconds, and `ray.init`
gives up after 30, with the processes left running. No setting changes either. So the ports are
chosen and written down before the raylet starts, and the agents are waited for here.

What this needs of Ray is no public interface: all of it is in this file.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray._private import node as ray_node
from ray._private.ray_constants import PROCESS_TYPE_RAYLET
from ray._raylet import (  # type: ignore[attr-defined]
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    persist_port,
)
from ray.exceptions import RayError

from actors.remote.environment import LOOPBACK, files_in
from actors.remote.loopback import loopback_kept
from actors.remote.options import NAMESPACE
from actors.remote.ports import claimed_ports, ports_below, proxy_ports
from actors.remote.private_folders import RAY, keep_token, run_folder
from actors.remote.start_steps import START_SECONDS_MAX, CannotStartError, attempt, first_sentence

AGENT_PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)
"""The ports of a node that its agents would choose, and the raylet would wait for."""
POLL_SECONDS = 0.1


@contextlib.contextmanager
def ray_cluster(
    directory: Path,
    tell: Callable[[str], None],
    *,
    http_host: str = LOOPBACK,
    with_dashboard: bool = True,
) -> Iterator[str | None]:
    """Join the cluster at RAY_ADDRESS, or run a local one as long as the block.

    Yields the address of Ray's dashboard, if it has one. The cluster's address stands in
    `ray.address` meanwhile, for clients on this machine. Raises CannotStartError.
    """
    with contextlib.ExitStack() as stack:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        if os.environ.get("RAY_ADDRESS"):
            context = join()
        else:
            folder = stack.enter_context(run_folder(directory))
            ports = stack.enter_context(proxy_ports(os.environ, http_host))
            stack.enter_context(environment(files_in(folder) | ports))
            context = attempt(
                "Ray", lambda: start_local(folder, with_dashboard=with_dashboard), tell
            )
            keep_token()
        stack.callback(ray.shutdown)
        for number, handler in handlers.items():  # Ray has taken SIGTERM for itself.
            signal.signal(number, handler)
        address_file = directory / "ray.address"
        address_file.write_text(ray.get_runtime_context().gcs_address)
        stack.callback(address_file.unlink, missing_ok=True)
        yield f"http://{context.dashboard_url}" if context.dashboard_url else None


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables for what is started in the block, and set them back after it."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def join() -> Any:
    """Join the cluster at RAY_ADDRESS; return Ray's context. Raises CannotStartError."""
    try:
        with loopback_kept():
            return init()
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        raise CannotStartError(
            f"The Ray cluster at RAY_ADDRESS cannot be joined: {first_sentence(error)}."
        ) from error


def start_local(folder: Path, *, with_dashboard: bool) -> Any:
    """Start Ray on this machine, its files in `folder`; return its context.

    Where that fails, nothing of it runs.
    """
    try:
        with patient_nodes(), loopback_kept():
            return init(
                address="local",
                include_dashboard=with_dashboard,
                _node_ip_address=LOOPBACK,
                _temp_dir=str(folder / RAY),
            )
    except BaseException:
        ray.shutdown()
        raise


def init(**options: Any) -> Any:
    """Start or join Ray; return its context. What fails meanwhile is raised, and not logged, too."""
    context = ray.init(
        namespace=NAMESPACE, log_to_driver=False, logging_level=logging.CRITICAL, **options
    )
    logging.getLogger("ray").setLevel(logging.ERROR)
    return context


@contextlib.contextmanager
def patient_nodes() -> Iterator[None]:
    """Have Ray start nodes of our class as long as the block."""
    theirs = ray_node.Node
    ray_node.Node = PatientNode  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        ray_node.Node = theirs  # type: ignore[misc]


class PatientNode(ray_node.Node):
    """A node that gives its agents time, and leaves no process behind where it does not start.

    What nobody here asks does not run: the autoscaler, the reader that sends logs to the driver,
    and, without a dashboard, its server.
    """

    def __init__(self, ray_params: Any, **options: Any) -> None:
        ray_params.no_monitor, ray_params.include_log_monitor = True, False
        with claimed_ports(len(AGENT_PORTS)) as ports:  # It takes long until agents listen there.
            self._agent_ports = dict(zip(AGENT_PORTS, ports, strict=True))
            for name, port in self._agent_ports.items():
                setattr(ray_params, name, port)
            try:
                super().__init__(ray_params, **options)
                self._await_agents()
            except BaseException:
                self.kill_all_processes(check_alive=False, allow_graceful=True)
                raise

    def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
        """Start the dashboard, if it is wanted: Ray would start a server without pages."""
        if include_dashboard:
            super().start_api_server(
                include_dashboard=include_dashboard, raise_on_failure=raise_on_failure
            )

    def start_raylet(self, *arguments: Any, **options: Any) -> None:
        """Start the raylet. The one port that it waits for though told it is written down."""
        port = self._agent_ports[DASHBOARD_AGENT_LISTEN_PORT_NAME]
        persist_port(self._session_dir, self._node_id, DASHBOARD_AGENT_LISTEN_PORT_NAME, port)
        super().start_raylet(*arguments, **options)

    def _await_agents(self) -> None:
        """Return once the agents answer: before that no process can be started, nor measured.

        They are the ones that listen, not others who took a port meanwhile: their raylet ends
        itself then, and Ray would end this process, too, without a sentence.
        """
        raylet = self.all_processes[PROCESS_TYPE_RAYLET][0].process
        deadline = time.monotonic() + START_SECONDS_MAX
        while not ports_below(raylet.pid).issuperset(self._agent_ports.values()):
            if raylet.poll() is not None:
                raise RuntimeError(f"The raylet has ended, see {self._logs_dir}/raylet.out")
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"Its agents did not answer within {START_SECONDS_MAX:.0f} seconds"
                )
            time.sleep(POLL_SECONDS)
