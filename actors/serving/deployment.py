"""Puts the HTTP edge on Ray Serve: on every node, and anew without a gap."""

import logging
import os
import secrets
import time
from typing import Any

from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus

from actors.remote.environment import serve_environment
from actors.remote.start_steps import START_SECONDS_MAX
from actors.serving.replica import edge
from actors.settings import Settings

APPLICATION = "allotment"
POLL_SECONDS = 0.2

# Importing Serve has it tell its steps on standard error; those who deploy tell their own.
logging.getLogger("ray.serve").setLevel(logging.WARNING)


def start_serve(settings: Settings) -> None:
    """Start Serve, if it does not run yet: HTTP on every node that has a replica."""
    options: dict[str, Any] = {}
    if os.environ.get("RAY_ADDRESS"):  # A local cluster has inherited our environment.
        ours = {name: os.environ[name] for name in serve_environment()}
        options["controller_options"] = {"runtime_env": {"env_vars": ours}}
    serve.start(
        proxy_location="EveryNode",
        http_options={"host": settings.http_host, "port": settings.http_port},
        logging_config={"enable_access_log": False},
        **options,
    )


def begin(settings: Settings) -> None:
    """Start Serve and all replicas; return once they answer. Where that fails, it may be repeated.

    Raises TimeoutError and RuntimeError.
    """
    start_serve(settings)
    deploy(settings, settings.http_replicas, new_version())


def deploy(settings: Settings, replicas: int, version: str) -> None:
    """Have so many replicas run; those of another version are replaced, one after another.

    Raises TimeoutError where each had START_SECONDS_MAX, and RuntimeError where Serve gives up.
    """
    deployment = edge.options(
        num_replicas=replicas,
        version=version,
        _internal=True,  # Else every deployment is a new version, and none changes only its number.
    )
    target = serve.RunTarget(deployment.bind(settings), name=APPLICATION, route_prefix="/")
    serve.run_many([target], wait_for_applications_running=False)
    wait_until_running(START_SECONDS_MAX * replicas)
    client = _get_global_client()
    assert client is not None, "Serve runs"
    client.wait_for_proxies_serving()  # HTTP on every node; it has a limit of its own.


def wait_until_running(seconds: float) -> None:
    """Return once all replicas answer. `serve.run` would wait without a limit."""
    deadline = time.monotonic() + seconds
    while True:
        found = serve.status().applications[APPLICATION]
        if found.status == ApplicationStatus.RUNNING:
            return
        if found.status == ApplicationStatus.DEPLOY_FAILED:
            raise RuntimeError(f"Serve gave up: {found.message}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"The replicas did not answer within {seconds:.0f} seconds")
        time.sleep(POLL_SECONDS)


def new_version() -> str:
    """Return a version that no replica has."""
    return secrets.token_hex(4)


def roll(settings: Settings) -> None:
    """Replace all replicas by new ones. One more than wanted runs first, so that one always does."""
    version = new_version()
    deploy(settings, settings.http_replicas + 1, version)
    deploy(settings, settings.http_replicas, version)


def end_serving() -> None:
    """Answer what was accepted, and nothing more."""
    serve.delete(APPLICATION)
