"""A start where Ray's processes take long, or end: with an agent that is slow, or broken. And beside others."""

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.remote.environment import LOOPBACK
from actors.remote.ports import PROXY_PORTS, claim_of
from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService, ending_with_us, wait_until

pytestmark = pytest.mark.service

GIVE_UP_SECONDS_MAX = 600.0  # For three attempts of a slow machine.
END_SECONDS_MAX = PATIENCE_SECONDS
SLOW_SECONDS = 20  # Ray's raylet would end itself after 15.
AGENT = """
import os, sys, time
with open("/proc/self/cmdline") as line:
    if "ray/dashboard/agent.py" in line.read():
        {does}
"""


def with_agent(directory: Path, does: str) -> RunningService:
    """Return a service whose node's agent does this before it begins."""
    site = directory / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(AGENT.format(does=does))
    return RunningService(directory, ALLOTMENT_SHARDS="1", PYTHONPATH=str(site))


def pids_of(service: RunningService) -> list[str]:
    """Return all processes that were started with the service's settings."""
    ours = f"ALLOTMENT_DATA_DIR={service.data_dir}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if ours in (process / "environ").read_bytes().split(b"\0"):
                found.append(process.name)
        except OSError:  # It has ended meanwhile.
            continue
    return found


def program(pid: str) -> str:
    """Return how a process was called; nothing: it has ended."""
    try:
        return (Path("/proc") / pid / "cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def given_up(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningService, subprocess.Popen[str]]]:
    """Yield a service that cannot start, and its `allotment up`, which ends by itself.

    It runs beside the first test's: both wait most of their time.
    """
    service = with_agent(tmp_path_factory.mktemp("given-up"), "os._exit(1)")
    command = subprocess.Popen(
        ending_with_us("-m", "actors", "up"),
        cwd=service.cwd,
        env=service.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield service, command
    if command.poll() is None:  # Nobody has waited for it.
        command.send_signal(signal.SIGINT)
    if command.stdout is not None and not command.stdout.closed:
        command.communicate(timeout=END_SECONDS_MAX)


@pytest.fixture
def taken_ports() -> Iterator[None]:
    """Have a program on each port that HAProxy and Serve would listen on beside the one of HTTP.

    Each is claimed, too: the service of a test beside may be about to listen there.
    """
    with contextlib.ExitStack() as stack:
        for port in PROXY_PORTS.values():
            with contextlib.suppress(OSError):  # Another service's: taken it is.
                stack.enter_context(claim_of(LOOPBACK, port))
                stack.enter_context(socket.create_server((LOOPBACK, port)))
        yield


@pytest.mark.usefixtures("given_up", "taken_ports")
def test_a_start_waits_for_agents_longer_than_ray_does_and_takes_ports_that_are_free(
    tmp_path: Path,
) -> None:
    with with_agent(tmp_path, f"time.sleep({SLOW_SECONDS})") as service, service.client() as http:
        assert http.get("/readyz").status_code == 200
        programs = " ".join(map(program, pids_of(service)))

    assert not [line for line in service.output if "again" in line]
    told = [line for line in service.output if "dashboard" in line]
    assert (told, "ray-dashboard" in programs, "dashboard.py" in programs) == ([], False, False)
    assert "raylet" in programs


def test_a_start_that_is_given_up_says_why_and_leaves_no_process(
    given_up: tuple[RunningService, subprocess.Popen[str]],
) -> None:
    service, command = given_up

    told, failure = command.communicate(timeout=GIVE_UP_SECONDS_MAX)

    assert command.returncode == 1
    assert "starting Ray again, attempt 3 of 3" in told
    *warnings, sentence = failure.splitlines()
    assert sentence.startswith("allotment: Ray did not start in 3 attempts")
    assert all("is taken" in warning for warning in warnings)  # Ports of other tests' services.
    assert "overloaded" not in failure
    wait_until(lambda: not pids_of(service), END_SECONDS_MAX)
    assert not (service.data_dir / "ray.address").exists()
