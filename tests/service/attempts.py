"""Single acts of mistake and malice, one after another, against a service of its own.

`python -m tests.service.attempts` prints a row for each: what was done, what came of it, and how 20
charges a second of another user fared meanwhile. `--only NAME` does one. The exit code is 1 where
something else came of an act than must, or another user was refused.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.service.attempted import ACTS, On, UnexpectedError
from tests.service.requests import add_credits, charge
from tests.service.running import PRICES, RunningService, prices_in

A_SECOND = 20
OTHER = "another"
BEFORE_SECONDS = 1.0  # Of charges that nothing disturbs, before each act.
HEAD = ("done", "came of it", "others' charges", "p50", "longest")


@dataclass
class Others:
    """Another user's charges, as long as the block: how long each took, in ms, and what was wrong."""

    service: RunningService
    milliseconds: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @contextmanager
    def charging(self) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=self._charge_until, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _charge_until(self, over: threading.Event) -> None:
        with self.service.client() as client:
            while not over.wait(1 / A_SECOND):
                started = time.perf_counter()
                try:
                    answer = charge(client, OTHER, 1)
                except httpx.TransportError as error:
                    self.refused.append(repr(error))
                    continue
                if answer.status_code != 201:
                    self.refused.append(answer.text)
                self.milliseconds.append((time.perf_counter() - started) * 1000)


def row(name: str, on: On) -> tuple[str, bool]:
    """Do one act; return its row, and whether all was as it must be."""
    others = Others(on.service)
    with others.charging():
        time.sleep(BEFORE_SECONDS)
        try:
            came, is_well = ACTS[name](on), True
        except UnexpectedError as wrong:
            came, is_well = f"**not as it must be**: {wrong}", False
    for text in others.refused:
        print(f"another user was refused: {text}", file=sys.stderr)
    taken = others.milliseconds
    cells = (
        *(name, came, f"{len(others.refused)} of {len(taken)} refused"),
        *(f"{statistics.median(taken):.0f} ms", f"{max(taken):.0f} ms"),
    )
    return f"| {' | '.join(cells)} |", is_well and not others.refused


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], choices=list(ACTS))
    names = parser.parse_args().only or list(ACTS)
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        prices_in(folder).write_text(PRICES)
        settings = {"ALLOTMENT_PRICES": str(prices_in(folder)), "ALLOTMENT_SHARDS": "2"}
        with (
            RunningService(folder, **settings) as service,
            service.client() as http,
            service.mongo() as mongo,
        ):
            add_credits(http, OTHER, amount=10**9).raise_for_status()
            print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
            well = True
            for act in names:
                text, is_well = row(act, On(service, http, mongo.allotment, folder))
                print(text, flush=True)
                well = well and is_well
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
