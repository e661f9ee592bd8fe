"""What a run's numbers depend on: the commit, the machine and the versions."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.processes import ROOT


def facts() -> dict[str, str | int]:
    """Return where and on what the numbers were measured."""
    return {
        "commit": commit(),
        "cpu": cpu_model(),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        "ray": version("ray"),
        "pymongo": version("pymongo"),
        "load_average_before": f"{os.getloadavg()[0]:.2f}",
    }


def commit() -> str:
    """Return the commit, marked where the tree differs from it."""
    git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        said = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()


def cpu_model() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
