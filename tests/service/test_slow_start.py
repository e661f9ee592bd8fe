"""A start where Ray's processes take long, or end: with an agent that is slow, or broken."""

from pathlib import Path

import pytest

from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService, wait_until

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


def test_a_start_waits_for_agents_longer_than_ray_does(tmp_path: Path) -> None:
    with with_agent(tmp_path, f"time.sleep({SLOW_SECONDS})") as service, service.client() as http:
        assert http.get("/readyz").status_code == 200
        programs = " ".join(map(program, pids_of(service)))

    assert not [line for line in service.output if "again" in line]
    told = [line for line in service.output if "dashboard" in line]
    assert (told, "ray-dashboard" in programs, "dashboard.py" in programs) == ([], False, False)
    assert "raylet" in programs


def test_a_start_that_is_given_up_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    service = with_agent(tmp_path, "os._exit(1)")

    ended = service.command("up", seconds_max=GIVE_UP_SECONDS_MAX)

    assert ended.returncode == 1
    assert "starting Ray again, attempt 3 of 3" in ended.stdout
    assert ended.stderr.startswith("allotment: Ray did not start in 3 attempts")
    assert len(ended.stderr.splitlines()) == 1
    assert "overloaded" not in ended.stderr
    wait_until(lambda: not pids_of(service), END_SECONDS_MAX)
    assert not (service.data_dir / "ray.address").exists()
