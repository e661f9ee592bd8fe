"""Seeds of the simulation, each a test; a failing one is replayed by its number.

They run in a process of their own: sets of texts are walked in the order of their hashes, which
must be the same in every run.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest

from tests.simulation.plan import plan_of

SEEDS = 300


@pytest.fixture(scope="module")
def worker() -> Iterator["subprocess.Popen[str]"]:
    """Yield a process that runs the seeds it is told."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.simulation", "--listen"],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        pipe(process.stdin).close()


def pipe(opened: IO[str] | None) -> IO[str]:
    assert opened is not None, "it was asked for"
    return opened


@pytest.mark.parametrize("seed", range(SEEDS))
def test_all_promises_hold_under_the_faults_of_seed(
    worker: "subprocess.Popen[str]", seed: int
) -> None:
    print(seed, file=pipe(worker.stdin), flush=True)
    verdict = json.loads(pipe(worker.stdout).readline())

    assert not verdict["error"], f"{verdict['error']}\nmake simulate SEEDS=1 FIRST={seed}"
    assert verdict["did"]["entries"] or verdict["did"]["reads"]


def test_a_seed_decides_everything(worker: "subprocess.Popen[str]") -> None:
    print(7, file=pipe(worker.stdin), flush=True)
    first = json.loads(pipe(worker.stdout).readline())
    print(7, file=pipe(worker.stdin), flush=True)
    again = json.loads(pipe(worker.stdout).readline())

    assert first == again
    assert plan_of(7) == plan_of(7) != plan_of(8)
