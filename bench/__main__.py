"""One command: starts the service and prints its numbers beside those it is compared with.

python -m bench           the service over HTTP and from Python, about 25 minutes
python -m bench memory    bytes of RAM per resident account
python -m bench sweep     comparing RAM with MongoDB, alone and beside usage
python -m bench warm      accounts a second that a starting shard takes up from MongoDB
python -m bench growth    starts, resyncs, sweeps and memory by accounts and shards
python -m bench storage   writes, bytes and index keys of a charge, and of a hold and its settlement
python -m bench events    what it costs a charge that events are looked for
python -m bench console   charges a second with the operators' console open and closed, in turn
"""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from rich.console import Console

from bench import console as open_console
from bench import events, growth, machine, memory, storage, sweep, warm
from bench.cases import Case, Extent, Measured, all_cases, chosen, measure, without_absent
from bench.cluster import prepare_cluster
from bench.peers import running_peers
from bench.processes import BenchError, allotment
from bench.progress import begin, track
from bench.report import print_report, write_json

WIDTH_IN_FILES = 140  # Of what is printed, where it goes to no terminal.


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "what",
        nargs="?",
        choices=("service", "memory", "sweep", "warm", "growth", "storage", "events", "console"),
        default="service",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each case and round")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds before each of them")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64, 128])
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="WORDS",
        help="cases whose name has all words of one of these, such as 'usage plain' no-op",
    )
    parser.add_argument(
        "--accounts",
        type=int,
        nargs="+",
        default=[200_000],
        help="for memory, sweep, warm and growth; several numbers for growth alone",
    )
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4, 8], help="for growth")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw numbers there")
    return parser.parse_args(given)


def bench_service(options: argparse.Namespace, console: Console) -> int:
    """Measure and print; return the exit code."""
    cases = chosen(all_cases(options.connections), options.only)
    if not cases:
        console.print("No case has such a name.")
        return 2
    cases, absent = without_absent(cases)
    for name, why in absent.items():
        console.print(f"{name} is skipped: {why}", highlight=False)
    if not cases:
        return 0
    facts = machine.facts()
    measured = measure_all(cases, options, console)
    print_report(console, measured, facts)
    if options.json:
        write_json(options.json, measured, facts)
    return int(any(numbers.errors for numbers in measured.values()))


def measure_all(
    cases: list[Case], options: argparse.Namespace, console: Console
) -> dict[Case, Measured]:
    """Start everything, measure all cases round by round, and stop everything."""
    measured = {case: Measured() for case in cases}
    turns = [(seed, case) for seed in range(options.rounds) for case in cases]
    extent = Extent(options.users, options.seconds, options.warm_up)
    begin(console, "starting the service")
    with allotment() as service:
        prepare_cluster(service, options.users, console)
        servers = {case.server for case in cases}
        with running_peers(servers, service.mongo_uri, options.users, console) as peers:
            for seed, case in track(console, turns, lambda turn: turn[1].name):
                result = measure(case, service, peers, extent, seed)
                measured[case].add(result)
                measured[case].settle_seconds.append(service.settle())
        begin(console, "stopping the service")
    return measured


def bench(options: argparse.Namespace, console: Console) -> int:
    """Measure what was asked for; return the exit code."""
    accounts, file = options.accounts[0], options.json
    users = Extent(options.users, options.seconds, options.warm_up)
    width = options.connections[-1]
    runs: dict[str, Callable[[], int]] = {
        "service": lambda: bench_service(options, console),
        "memory": lambda: memory.bench_memory(accounts, console, file),
        "sweep": lambda: sweep.bench_sweep(replace(users, users=accounts), console, file),
        "warm": lambda: warm.bench_warm(accounts, console),
        "growth": lambda: growth.bench_growth(options.accounts, options.shards, console, file),
        "storage": lambda: storage.bench_storage(console, file),
        "events": lambda: events.bench_events(console),
        "console": lambda: open_console.bench_console(users, options.rounds, width, console, file),
    }
    return runs[options.what]()


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that everything that was started is stopped."""
    raise KeyboardInterrupt


def main() -> int:
    """Run the command line and return the exit code."""
    signal.signal(signal.SIGTERM, interrupt)
    options = arguments(sys.argv[1:])
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_IN_FILES
    try:
        return bench(options, console)
    except BenchError as error:
        console.print(f"[red]bench:[/red] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("bench: interrupted; everything is stopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
