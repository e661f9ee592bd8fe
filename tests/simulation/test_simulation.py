"""Seeds of the simulation, each a test; a failing one is replayed by its number.

They run in a process of their own: sets of texts are walked in the order of their hashes, which
must be the same in every run.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count, islice, product
from typing import IO

import pytest

from tests.simulation.plan import plan_of
from tests.simulation.step_stalls import ASKED, MOMENTS, TROUBLES, WRITES

SEEDS = 300
DUEL_SEEDS = 25
MOVE_SEEDS_MAX = 80


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


def test_of_a_settlement_and_an_expiry_that_meet_one_wins_and_the_other_is_told(
    worker: "subprocess.Popen[str]",
) -> None:
    in_time = too_late = 0
    for seed in range(DUEL_SEEDS):
        print(seed, "duels", file=pipe(worker.stdin), flush=True)
        verdict = json.loads(pipe(worker.stdout).readline())
        replay = f"python -m tests.simulation --duels --seeds 1 --first {seed}"
        assert not verdict["error"], f"{verdict['error']}\n{replay}"
        in_time += verdict["did"]["settled in time"]
        too_late += verdict["did"]["settled too late"]

    assert in_time + too_late >= 1_000
    assert min(in_time, too_late) >= 200


def test_a_replica_set_is_in_trouble_before_within_and_after_each_step_of_a_resharding(
    worker: "subprocess.Popen[str]",
) -> None:
    steps, troubles = set(product((*WRITES, *ASKED), MOMENTS)), set(TROUBLES)
    for seed in islice((seed for seed in count() if plan_of(seed).step_stalls), MOVE_SEEDS_MAX):
        print(seed, file=pipe(worker.stdin), flush=True)
        verdict = json.loads(pipe(worker.stdout).readline())
        assert not verdict["error"], f"{verdict['error']}\nmake simulate SEEDS=1 FIRST={seed}"
        steps -= {(step, when) for step, when, _ in verdict["met"]}
        troubles -= {trouble for *_, trouble in verdict["met"]}
        if not steps and not troubles:
            return

    assert (steps, troubles) == (set(), set()), "these were not met"


def test_a_seed_decides_everything(worker: "subprocess.Popen[str]") -> None:
    print(7, file=pipe(worker.stdin), flush=True)
    first = json.loads(pipe(worker.stdout).readline())
    print(7, file=pipe(worker.stdin), flush=True)
    again = json.loads(pipe(worker.stdout).readline())

    assert first == again
    assert plan_of(7) == plan_of(7) != plan_of(8)
