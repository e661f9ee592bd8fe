"""Runs seeds against broken code, mutation by mutation: `make mutations`.

Each runs in processes of its own until a seed fails, as many at a time as there are cores. While they
run it says how far each is; then it prints a table, in Markdown. Exit code 1: one was not caught.
"""

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import timedelta

from bench.progress import time_left
from tests.simulation.mutation import Mutation
from tests.simulation.mutations import MUTATIONS

SEEDS_MAX = 3_000  # A mutation that so many seeds do not catch is not caught.
NOTICED_LENGTH_MAX = 60
SAY_SECONDS = 20.0  # Between two lines about what is still running.


@dataclass(frozen=True)
class Caught:
    """What became of one mutation."""

    mutation: Mutation
    after: int | None
    """Seeds that were run until one failed; None: none did."""
    noticed: str
    seconds: float


@dataclass
class Running:
    """The simulations that run now, to tell how far they are and to end them."""

    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    """The newest line of each, by the mutation's name."""
    stopped: bool = False

    def stop(self) -> None:
        """End them all, and begin no others."""
        self.stopped = True
        for process in list(self.processes.values()):
            process.kill()

    def __str__(self) -> str:
        return ", ".join(f"{name} at {line}" for name, line in sorted(self.at.items()))


def catch(mutation: Mutation, seeds: int, running: Running | None = None) -> Caught:
    """Run so many seeds at most against a mutation. Raises RuntimeError where they do not run."""
    return _run(mutation, ("--mutate", mutation.name), seeds, running or Running())


def run_whole(seeds: int) -> Caught:
    """Run so many seeds against the code as it is."""
    whole = Mutation("nothing", "", "", "", "nothing")
    return _run(whole, (), seeds, Running())


def _run(mutation: Mutation, more: Sequence[str], seeds: int, running: Running) -> Caught:
    name, began = mutation.name, time.monotonic()
    command = [sys.executable, "-m", "tests.simulation", *more, "--seeds", str(seeds)]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        running.processes[name], running.at[name] = process, "seed 0"
        assert process.stdout is not None, "it is a pipe"
        lines = []
        for line in process.stdout:
            lines.append(line)
            if at := re.match(r"seed \d+(?=:)", line):
                running.at[name] = at[0]
    del running.processes[name], running.at[name]
    printed, seconds = "".join(lines), time.monotonic() - began
    failed = re.search(r"seed (\d+) FAILED after \d+ good ones: (.*)", printed)
    if failed is not None:
        noticed = failed[2].split(": ")[1 if ": " in failed[2] else 0]
        return Caught(mutation, int(failed[1]) + 1, noticed[:NOTICED_LENGTH_MAX], seconds)
    if process.returncode != 0:
        raise RuntimeError(f"{name}: the simulation ended with {process.returncode}:\n{printed}")
    return Caught(mutation, None, "", seconds)


def catch_all(
    mutations: Sequence[Mutation], seeds: int, jobs: int, say: Callable[[str], None]
) -> list[Caught]:
    """Run them all, and tell how far they are. The result is in the order of `mutations`."""
    running, done, began = Running(), list[Caught](), time.monotonic()
    over = threading.Event()

    def tell() -> None:
        while not over.wait(SAY_SECONDS):
            left = time_left(time.monotonic() - began, len(done), len(mutations))
            say(f"  running: {running}{left}")

    def one(mutation: Mutation) -> Caught | None:
        return None if running.stopped else catch(mutation, seeds, running)

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        with ThreadPoolExecutor(jobs) as pool:
            waiting = [pool.submit(one, mutation) for mutation in mutations]
            try:
                for future in as_completed(waiting):
                    found = future.result()
                    assert found is not None, "nobody has stopped them"
                    done.append(found)
                    say(f"[{len(done)}/{len(mutations)}] {_outcome(found)}")
            except BaseException:
                running.stop()
                raise
    finally:
        over.set()
        teller.join()
    return sorted(done, key=lambda found: mutations.index(found.mutation))


def _outcome(found: Caught) -> str:
    name, took = found.mutation.name, f"{found.seconds:.0f} s"
    if found.after is None:
        return f"{name}: MISSED ({took})"
    return f"{name}: caught after {found.after} seeds ({took}): {found.noticed}"


def table(found: Sequence[Caught]) -> str:
    """Return the outcomes as a table in Markdown."""
    rows = [
        f"| {one.mutation.stands_for} | {one.after or 'not caught'} | {one.noticed} |"
        for one in found
    ]
    return "\n".join(["| what is broken | caught after seeds | as |", "| --- | --- | --- |", *rows])


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutations", description=__doc__)
    names = [mutation.name for mutation in MUTATIONS]
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="at most, of each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    options = parser.parse_args()
    chosen = [mutation for mutation in MUTATIONS if mutation.name in options.only]
    began = time.monotonic()
    try:
        found = catch_all(chosen, options.seeds, options.jobs, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    caught = sum(one.after is not None for one in found)
    took = timedelta(seconds=round(time.monotonic() - began))
    print(f"\n{table(found)}\n")
    print(f"{caught} of {len(found)} caught within {options.seeds} seeds, in {took}")
    return 0 if caught == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
