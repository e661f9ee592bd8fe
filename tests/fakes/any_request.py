"""Requests that a program makes up from the OpenAPI document."""

import subprocess
import sys
from pathlib import Path

SECONDS_MAX = 120.0
CONFIG = Path(__file__).parents[1] / "schemathesis.toml"


def attack(
    address: str, key: str, cases: int, seed: int, directory: Path, *options: str
) -> tuple[int, str]:
    """Run schemathesis, all checks on; return its exit code and what it printed."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
            *(f"{address}/openapi.json", "--header", f"Authorization: Bearer {key}"),
            *("--phases", "examples,coverage,fuzzing", "--checks", "all"),
            *("--max-examples", str(cases), "--seed", str(seed), "--no-color"),
            "--continue-on-failure",
            *options,
        ],
        cwd=directory,  # Its notes of former failures are kept there.
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX * max(1, cases // 10),
        check=False,
    )
    return run.returncode, run.stdout + run.stderr
