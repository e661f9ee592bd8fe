"""The parts that `make test` runs one after the other, and the few that `make check` runs."""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORKERS_MAX = 4  # Each may run an embedded server of its own.


@dataclass(frozen=True)
class Part:
    """Tests that run together: with pytest in `paths`, or else the commands, one by one."""

    name: str
    paths: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    without: tuple[str, ...] = ()
    """Files at these paths whose tests are left to another part."""
    marked: str = ""
    """Only tests whose marks match this expression of pytest's; "": all."""
    dist: str = "loadfile"
    """What xdist hands to a worker at a time: `loadfile` keeps the fixtures of a file cheap.

    A folder may have a scheduler of its own, as `tests/service` does. The longest go first, see
    `tests/units_of_work.py`.
    """

    waiting: int = 0
    """How many more of its tests are at work than there are cores: so many wait for other programs."""

    @property
    def workers(self) -> int:
        """How many processes run its tests."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        return min(cores + self.waiting, WORKERS_MAX)

    @property
    def pytest_arguments(self) -> list[str]:
        """What pytest is called with; the progress is told by a plugin, not by its dots."""
        return [
            "-q",
            "-p",
            "no:terminaldistreporter",
            "-o",
            "console_output_style=classic",
            f"--numprocesses={self.workers}",
            f"--dist={self.dist}",
            "--no-loadscope-reorder",
            *(f"--ignore={path}" for path in self.without),
            *(["-m", self.marked] if self.marked else []),
            *self.paths,
        ]


TOOLS = Path(sys.executable).parent
LINT = Part(
    "lint and types",
    commands=(
        (f"{TOOLS}/ruff", "check", "--quiet", "."),
        (f"{TOOLS}/ruff", "format", "--check", "--quiet", "."),
        (f"{TOOLS}/mypy", "--no-error-summary"),
    ),
)
DOMAIN = Part("domain", ("tests/domain", "tests/reference"), dist="worksteal")
ACTORS = Part(
    "actors",
    (
        "tests/actors",
        "tests/clients",
        "tests/test_runner.py",
        "tests/test_architecture.py",
        "tests/test_bench.py",
        "tests/test_bounds.py",
        "tests/test_cluster_file.py",
        "tests/test_deploy.py",
        "tests/test_audit.py",
        "tests/test_locks.py",
        "tests/test_workflows.py",
        "tests/docs",
    ),
    waiting=2,
)
UNITS = replace(
    ACTORS,
    name="units",
    marked="not server",
    waiting=0,
    without=(  # They start other programs, HAProxy say, or take hundreds of turns.
        "tests/actors/console/test_browser.py",
        "tests/actors/edge/test_addresses.py",
        "tests/actors/edge/test_any_request.py",
        "tests/actors/edge/test_generated_client.py",
        "tests/actors/edge/test_hostile_requests.py",
        "tests/actors/edge/test_methods.py",
        "tests/actors/edge/test_route_table.py",
        "tests/actors/edge/test_trailers.py",
        "tests/actors/embedded/test_keeper.py",
        "tests/actors/embedded/test_progress.py",
        "tests/actors/events/test_webhooks.py",
        "tests/actors/serving/test_haproxy_folder.py",
        "tests/actors/serving/test_haproxy_guarded.py",
        "tests/actors/serving/test_haproxy_http2.py",
        "tests/actors/serving/test_haproxy_sources.py",
        "tests/actors/serving/test_haproxy_streams.py",
        "tests/actors/stripe/test_orders.py",
        "tests/clients/test_embedded.py",
        "tests/clients/test_python_adapters.py",
        "tests/clients/test_typescript.py",
        "tests/clients/test_typescript_middleware.py",
    ),
)
SIMULATION = Part("simulation", ("tests/simulation",), dist="worksteal")
FUZZ = Part("fuzz", ("tests/fuzz",), dist="worksteal")
SERVICE = Part("service", ("tests/service",), waiting=1)

TEST: tuple[Part, ...] = (LINT, DOMAIN, ACTORS, SIMULATION, FUZZ, SERVICE)
CHECK: tuple[Part, ...] = (LINT, DOMAIN, UNITS)
LEFT_OUT = (
    "`make test` runs what was left out: tests with a database server, with other programs or a whole"
    " service, of hundreds of turns, the simulation and the fuzzing."
)
"""What `make check` says at its end."""
