"""Runs all tests, part by part: `python -m tests`, or only what answers soon: `--check`.

Every part runs, whatever came of the ones before it; what failed is named again at the end. Names
of parts run these alone. `--remember` writes down how long each file took: on a machine that
does nothing else.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.parts import CHECK, LEFT_OUT, ROOT, TEST, Part
from tests.progress import UNMEASURED_SECONDS, Estimate, Outcome, Progress, Seconds, file_of
from tests.units_of_work import SECONDS_FILE, read_seconds

BY_NAME = {part.name: part for part in (*TEST, *CHECK)}


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Workers and services end, too.
    # A shell that starts us in the background has us ignore it, and all that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = parsed()
    os.chdir(ROOT)
    keep_bytecode()
    parts = CHECK if arguments.check else TEST
    if arguments.parts:
        parts = tuple(BY_NAME[name] for name in arguments.parts)
    seconds = read_seconds()
    outcome = Outcome()
    estimate = Estimate(sum(measured(part, seconds) for part in parts))
    for number, part in enumerate(parts, 1):
        run(part, f"part {number} of {len(parts)}: {part.name}", seconds, estimate, outcome)
    if arguments.remember and not outcome.failures:
        remember(seconds, outcome)
    code = told(outcome)
    if arguments.check:
        print(LEFT_OUT, flush=True)
    return code


def keep_bytecode() -> None:
    """Have Python keep what it compiles, also where PYTHONDONTWRITEBYTECODE is set.

    Each worker of pytest would compile all tests else, and each of a service's dozen processes
    what it imports.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def parsed(given: Sequence[str] | None = None) -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    options.add_argument("--check", action="store_true", help="only what answers in two minutes")
    options.add_argument("--remember", action="store_true", help="write down how long it took")
    names = list(BY_NAME)
    options.add_argument("parts", nargs="*", choices=[*names, []], metavar="part", help=f"{names}")
    arguments = options.parse_args(given)
    if arguments.check and arguments.remember:
        options.error("--remember is of whole files, and --check leaves tests of them out")
    return arguments


def measured(part: Part, seconds: Seconds) -> float:
    """Return how long a part takes on the machine that was measured."""
    if part.commands:
        return seconds.get(part.name, UNMEASURED_SECONDS)
    files = {str(file.relative_to(ROOT)) for path in part.paths for file in files_of(ROOT / path)}
    taken = sum(seconds.get(file, UNMEASURED_SECONDS) for file in files.difference(part.without))
    return taken / part.workers


def files_of(path: Path) -> list[Path]:
    """Return the files of tests at a path."""
    return [path] if path.is_file() else sorted(path.rglob("test_*.py"))


def run(part: Part, title: str, seconds: Seconds, estimate: Estimate, outcome: Outcome) -> None:
    """Run one part, with a line when it begins and one when it ends."""
    began, failed_before = time.monotonic(), len(outcome.failures)
    done_after = estimate.done + measured(part, seconds)
    if part.commands:
        print(f"{title}, {estimate.left}", flush=True)
        run_commands(part, outcome)
        outcome.seconds[part.name] += time.monotonic() - began
    else:
        progress = Progress(title, part.workers, seconds, estimate, outcome)
        code = pytest.main(part.pytest_arguments, plugins=[progress])
        if code == pytest.ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        if code != pytest.ExitCode.OK and len(outcome.failures) == failed_before:
            outcome.fail(part.name, f"pytest ended with {code!r}")
    estimate.done = done_after
    failed = len(outcome.failures) - failed_before
    verdict = f"{failed} failed" if failed else "passed"
    print(f"{title}: {verdict} in {time.monotonic() - began:.0f} s", flush=True)


def run_commands(part: Part, outcome: Outcome) -> None:
    for command in part.commands:
        done = subprocess.run(command, cwd=ROOT, check=False)
        name = " ".join([Path(command[0]).name, *command[1:]])
        if done.returncode:
            outcome.fail(name, f"ended with {done.returncode}")


def remember(seconds: dict[str, float], outcome: Outcome) -> None:
    found = {name: round(took, 1) for name, took in outcome.seconds.items()}
    run = {file_of(name) for name in found}  # Of these nothing is kept: tests change their names.
    kept = {n: took for n, took in seconds.items() if is_there(n) and file_of(n) not in run}
    SECONDS_FILE.write_text(json.dumps(kept | found, indent=1, sort_keys=True) + "\n")


def is_there(name: str) -> bool:
    """Whether the file of a test, or of tests, is still there, or a part that is commands."""
    return name in BY_NAME or (ROOT / file_of(name)).exists()


def told(outcome: Outcome) -> int:
    """Say what came of it all, and return the exit code."""
    for name, reason in sorted(outcome.skipped.items()):
        print(f"skipped: {name}: {reason}")
    for name, reason in outcome.failures.items():
        print(f"FAILED {name}: {reason}")
    print(outcome, flush=True)
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
