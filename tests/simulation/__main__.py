"""`python -m tests.simulation`: runs seeds one after the other, and stops at the first failing one."""

import argparse
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count, islice

HASH_SEED = "0"  # Sets of texts are walked in the order of their hashes: these are a seed, too.
PROGRESS_SECONDS = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--mutate", help="break our own code first: a name of mutations.py")
    parser.add_argument("--verbose", action="store_true", help="show the log of the processes")
    parser.add_argument("--listen", action="store_true", help="run the seeds that are written here")
    parser.add_argument("--duels", action="store_true", help="settlements that meet expiries")
    parser.add_argument(
        "--stalled-moves", action="store_true", help="only those in which reshardings stall"
    )
    parser.add_argument("--go-on", action="store_true", help="list all failing seeds")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    logging.basicConfig(level=logging.INFO if options.verbose else logging.CRITICAL + 1)
    if options.mutate:
        from tests.simulation.mutations import apply  # noqa: PLC0415 - before what it changes

        apply(options.mutate)
    if options.listen:
        return _listen()
    seeds = _seeds(options.first, options.seeds, stalled_moves=options.stalled_moves)
    return _run(seeds, go_on=options.go_on, duels=options.duels)


def _listen() -> int:
    from tests.simulation.running import simulate  # noqa: PLC0415 - after the hash seed is set

    for line in sys.stdin:
        seed, *duels = line.split()
        print(json.dumps(asdict(simulate(int(seed), duels=bool(duels)))), flush=True)
    return 0


def _seeds(first: int, seeds: int, *, stalled_moves: bool) -> Iterator[int]:
    from tests.simulation.plan import plan_of  # noqa: PLC0415 - after a mutation

    wanted = (seed for seed in count(first) if not stalled_moves or plan_of(seed).step_stalls)
    return islice(wanted, seeds)


def _run(seeds: Iterator[int], *, go_on: bool, duels: bool) -> int:
    from tests.simulation.running import Verdict, simulate  # noqa: PLC0415 - after a mutation

    started = shown = time.monotonic()
    totals: Counter[str] = Counter()
    done = failed = 0
    for seed in seeds:
        verdict: Verdict = simulate(seed, duels=duels)
        totals.update(verdict.did)
        now = time.monotonic()
        if verdict.error:
            print(f"seed {seed} FAILED after {done - failed} good ones: {verdict.error}")
            failed += 1
            if not go_on:
                print(verdict.traceback)
                kind = " --duels" if duels else ""
                print(f"replay: python -m tests.simulation{kind} --seeds 1 --first {seed}")
                return 1
        done += 1
        if now > shown + PROGRESS_SECONDS:
            shown = now
            print(f"seed {seed}: {done / (now - started):.1f} seeds/s", flush=True)
    elapsed = time.monotonic() - started
    print(f"{done} seeds, {failed} failed, {done / elapsed:.1f} seeds/s")
    print(", ".join(f"{name}: {count}" for name, count in sorted(totals.items())))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
