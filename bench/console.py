"""Charges a second with the operators' console open and closed, in turn.

Open: `allotment console` runs, an operator is signed in, looks at one page after the other, and has the
overview in a second tab, which asks for its live part as often as the page says. Closed: neither runs.
"""

import contextlib
import json
import re
import statistics
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from bench import machine
from bench.cases import Extent, Measured, run
from bench.cluster import share_environment
from bench.processes import BenchError, Service, allotment, clean_environment, free_port, running
from bench.progress import begin, track
from bench.sweep import insert_users, leave_cluster, load_into_ram
from bench.users import user_id

STATES = ("closed", "open")
LOOK_SECONDS = 2.0  # An operator looks at a page for so long, and goes on to the next.
ANSWER_SECONDS_MAX = 30.0
LIVE = re.compile(r'data-live="([^"]+)" data-seconds="([\d.]+)"')
PAGES = (
    *("/", f"/user?id={user_id(0)}", "/subscriptions", "/subscriptions/left", "/refusals"),
    *("/events", "/endpoints", "/sweeps", "/shards", "/prices", "/keys", "/audit"),
)


@dataclass(slots=True)
class Looks:
    """What browsers have asked the console for."""

    pages: int = 0
    live: int = 0
    slowest_seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


class Tab(threading.Thread):
    """One tab: asks again and again, until it is closed."""

    def __init__(self, client: httpx.Client, looks: Looks) -> None:
        super().__init__(daemon=True)
        self._client, self._looks = client, looks
        self._closed = threading.Event()

    def run(self) -> None:
        """Look, until it is closed or an answer fails."""
        try:
            self.look()
        except (BenchError, httpx.HTTPError) as error:
            self._looks.failures.append(str(error))

    def look(self) -> None:
        """Ask for pages, one after the other."""
        while True:
            for path in PAGES:
                self.ask(path)
                self._looks.pages += 1
                if self._closed.wait(LOOK_SECONDS):
                    return

    def ask(self, path: str) -> str:
        """Return a page. BenchError: it is none."""
        answer = self._client.get(path)
        if answer.status_code != 200:
            raise BenchError(f"the console answers {answer.status_code} to {path}")
        seconds = answer.elapsed.total_seconds()
        self._looks.slowest_seconds = max(self._looks.slowest_seconds, seconds)
        return answer.text

    def close(self) -> None:
        """Ask for nothing more."""
        self._closed.set()
        self.join()


class LiveTab(Tab):
    """A tab with the overview: it renews itself."""

    def look(self) -> None:
        """Ask for what is live, as often as the page says."""
        found = LIVE.search(self.ask("/"))
        if found is None:
            raise BenchError("the overview has no live part")
        path, seconds = found[1], float(found[2])
        while not self._closed.wait(seconds):
            self.ask(path)
            self._looks.live += 1


@contextlib.contextmanager
def opened(service: Service, looks: Looks) -> Iterator[None]:
    """Run the console with two tabs in front of it, as long as the block."""
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).with_name("allotment")), "console", "--port", str(port)]
    command += ["--service", f"http://127.0.0.1:{service.port}"]
    root = str(Path(__file__).parents[1])
    environment = clean_environment() | {"PYTHONPATH": root}
    with (
        running(command, environment, Path(root), lambda line: home in line),
        httpx.Client(base_url=home, timeout=ANSWER_SECONDS_MAX) as client,
    ):
        signed_in = client.post("/sign-in", data={"key": service.key}, headers={"Origin": home})
        if signed_in.headers.get("location") != "/":
            raise BenchError(f"the console lets nobody in: {signed_in.status_code}")
        tabs = [Tab(client, looks), LiveTab(client, looks)]
        for tab in tabs:
            tab.start()
        try:
            yield
        finally:
            for tab in tabs:
                tab.close()
    if looks.failures:
        raise BenchError(looks.failures[0])


def charges(service: Service, extent: Extent, connections: int, seed: int) -> dict[str, object]:
    """Charge users at random for a while."""
    load = {"job": "usage", "path": "/subscription/usage", "connections": connections}
    place = {"port": service.port, "key": service.key, "seed": seed}
    return run("bench.load", load | place | asdict(extent))


def bench_console(
    extent: Extent, rounds: int, connections: int, console: Console, file: Path | None
) -> int:
    """Measure and print; return the exit code."""
    measured, looks = {state: Measured() for state in STATES}, Looks()
    # In turn, and each first as often as the other: a machine that slows down slows both.
    turns = [
        (number, state)
        for number in range(rounds)
        for state in (STATES if number % 2 == 0 else reversed(STATES))
    ]
    begin(console, "starting the service")
    with allotment() as service:
        share_environment(service)
        insert_users(service, extent.users, console)
        load_into_ram(service, extent.users, console)
        leave_cluster()
        for number, state in track(console, turns, lambda turn: f"charges, console {turn[1]}"):
            beside = opened(service, looks) if state == "open" else contextlib.nullcontext()
            with beside:
                measured[state].add(charges(service, extent, connections, number))
            service.settle()
        begin(console, "stopping the service")
    print_report(console, measured["closed"], measured["open"], looks)
    if file:
        rates = {state: one.rates for state, one in measured.items()}
        found = {"machine": machine.facts(), "rates": rates, "looks": asdict(looks)}
        file.write_text(json.dumps(found, indent=2) + "\n")
    return int(any(one.errors for one in measured.values()))


def ratios(closed: Sequence[float], open_: Sequence[float]) -> list[float]:
    """Return, round by round, how many times as many charges there were with the console open."""
    return [with_it / without for without, with_it in zip(closed, open_, strict=True)]


def print_report(console: Console, closed: Measured, open_: Measured, looks: Looks) -> None:
    """Print each round, the medians, and what was looked at."""
    table = Table("round", title="charges a second, the operators' console closed and open")
    for column in ("closed", "open", "open / closed"):
        table.add_column(column, justify="right")
    found = ratios(closed.rates, open_.rates)
    for number, row in enumerate(zip(closed.rates, open_.rates, found, strict=True), 1):
        table.add_row(str(number), *told(*row))
    table.add_section()
    medians = [statistics.median(one) for one in (closed.rates, open_.rates, found)]
    table.add_row("median", *told(*medians))
    for percent in (50, 99):
        latencies = (f"{one.percentile(percent):.1f}" for one in (closed, open_))
        table.add_row(f"ms p{percent}", *latencies, "")
    table.add_row("errors", *(f"{sum(one.errors.values())}" for one in (closed, open_)), "")
    console.print(table)
    console.print(
        f"looked at: {looks.pages} pages, {looks.live} live parts, the slowest in"
        f" {looks.slowest_seconds * 1000:.0f} ms",
        highlight=False,
    )
    facts = machine.facts()
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), highlight=False)


def told(closed: float, open_: float, ratio: float) -> tuple[str, str, str]:
    """Return two rates and their ratio as texts."""
    return f"{closed:,.0f}", f"{open_:,.0f}", f"{ratio:.3f}"
