"""HAProxy as the service runs it, before any one web server."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from actors.remote.environment import GUARD, haproxy_binary, serve_environment
from bench.processes import POLL_SECONDS, START_SECONDS_MAX, BenchError, free_port

WRITE = """
import sys
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions
folder, port, replica = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
servers = [ServerConfig(name="replica", host="127.0.0.1", port=replica)] if replica else []
backend = BackendConfig(name="app", path_prefix="/", app_name="app", servers=servers)
config = HAProxyConfig(
    socket_path=f"{folder}/socket", http_options=HTTPOptions(host="127.0.0.1", port=port),
    stats_port=int(sys.argv[4]), metrics_port=int(sys.argv[5]),
)
backends = {"app": backend} if replica else {}
HAProxyApi(config, backends, f"{folder}/haproxy.cfg")._generate_config_file_internal()
"""


def write_configuration(folder: Path, port: int, replica: int, **settings: str) -> Path:
    """Let Serve write what it would start HAProxy with, for one replica or, with 0, for none."""
    ports = map(str, (port, replica, free_port(), free_port()))
    subprocess.run(
        [sys.executable, "-c", WRITE, folder, *ports],
        env=os.environ | serve_environment() | settings,
        check=True,
    )
    return folder / "haproxy.cfg"


@contextlib.contextmanager
def haproxy_process(
    folder: Path, replica: int, binary: str, **settings: str
) -> Iterator[tuple[int, int]]:
    """Run HAProxy as Serve would, its files in a folder; yield its port and the number of its process."""
    port, told = free_port(), folder / "told"
    file = write_configuration(folder, port, replica, **settings)
    with (
        told.open("wb") as output,
        subprocess.Popen(
            [str(GUARD), "-db", "-f", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"ALLOTMENT_HAPROXY_BINARY": binary} | settings,
        ) as process,
    ):
        try:
            wait_until_it_listens(process, port, told)
            yield port, process.pid
        finally:
            process.kill()


@contextlib.contextmanager
def haproxy_before(replica: int) -> Iterator[int]:
    """Run HAProxy before a web server; yield its port. Where there is none, as for the service, no proxy."""
    binary = haproxy_binary()
    if binary is None:
        yield replica
        return
    with (
        tempfile.TemporaryDirectory(prefix="ab-") as folder,
        haproxy_process(Path(folder), replica, binary) as (port, _),
    ):
        yield port


def wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int, told: Path) -> None:
    """Return once HAProxy listens. BenchError: it ended, or took too long."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while not listens(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"HAProxy does not start. It said:\n{told.read_text()}")
        time.sleep(POLL_SECONDS)


def listens(port: int) -> bool:
    """Say whether a program listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
