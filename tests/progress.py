"""Tells how far a run is: what is done, what failed, and how long the rest takes.

A run is a list of parts, of which it is known how many seconds each file of tests took on the
machine that was measured (`tests/seconds.json`). How fast this machine is shows in what is done.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import pytest

SAY_SECONDS = 20.0  # Between two lines about the same part, at least.
UNMEASURED_SECONDS = 2.0  # What a file takes that is not in the list.
LONG_SECONDS = 10.0  # From which on a test is in the list by its own name.
PRIOR_SECONDS = 60.0  # So much of a run says little of the machine: a service that starts, say.

Seconds = Mapping[str, float]


@dataclass
class Outcome:
    """What the tests of a run did.

    `seconds`: work by file, and by test where that took long, as it is written to the list.
    """

    passed: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def took(self, test: str, seconds: float) -> None:
        """Note how long a step of a test took."""
        self.seconds[file_of(test)] += seconds
        if seconds >= LONG_SECONDS:
            self.seconds[test] += seconds

    def fail(self, name: str, why: str) -> None:
        """Note a failure; the first of a test's is kept."""
        self.failures.setdefault(name, why)

    def __str__(self) -> str:
        told = f"{self.passed} passed, {len(self.failures)} failed"
        return f"{told}, {len(self.skipped)} skipped" if self.skipped else told


@dataclass
class Estimate:
    """How long the rest of a run takes, from what the whole was measured at.

    All but `elapsed` is in seconds of the machine that was measured.
    """

    whole: float
    clock: Callable[[], float] = time.monotonic
    done: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def left(self) -> str:
        """Say how long the rest takes, at the speed seen so far."""
        elapsed = self.clock() - self._began
        slowness = (elapsed + PRIOR_SECONDS) / (self.done + PRIOR_SECONDS)
        seconds = max(0.0, self.whole - self.done) * slowness
        if seconds < 50:
            return "less than a minute left"
        minutes = round(seconds / 60)
        return f"about {minutes} minute{'s' if minutes > 1 else ''} left"


class Progress:
    """A plugin of pytest: says in whole lines how far one part is, and notes what came of it."""

    def __init__(
        self, part: str, workers: int, seconds: Seconds, estimate: Estimate, outcome: Outcome
    ) -> None:
        self._part = part
        self._workers = workers
        self._seconds = seconds
        self._estimate = estimate
        self._outcome = outcome
        self._done_before = estimate.done
        self._of_file: Counter[str] = Counter()
        self._ended = 0
        self._said_at = 0.0
        self._say: Callable[[str], None] = print

    @pytest.hookimpl(trylast=True)  # After the terminal reporter is there.
    def pytest_configure(self, config: pytest.Config) -> None:
        terminal = config.pluginmanager.getplugin("terminalreporter")
        assert terminal is not None, "pytest has one"
        self._say = terminal.write_line

    def pytest_xdist_node_collection_finished(self, node: object, ids: Collection[str]) -> None:
        """Begin: every worker tells the same."""
        if not self._of_file:
            self._of_file.update(file_of(test) for test in ids)
            self._line(f"{self._part}, {len(ids):,} tests")

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Print no letters: the log stays one of lines."""
        if report.when == "call" and report.passed:
            return "passed", "", "PASSED"
        if report.failed:
            return ("failed" if report.when == "call" else "error"), "", "FAILED"
        return ("", "", "") if report.passed else None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._outcome.fail(report.nodeid, why(report))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = file_of(report.nodeid)
        self._outcome.took(report.nodeid, report.duration)
        if report.failed:
            self._outcome.fail(report.nodeid, why(report))
            self._say(f"FAILED {report.nodeid}: {why(report)}")
        if report.skipped:
            self._outcome.skipped[report.nodeid] = why(report)
        if report.when == "call" and report.passed:
            self._outcome.passed += 1
        if report.when == "teardown":
            self._count(file)

    def _count(self, file: str) -> None:
        self._ended += 1
        took = self._seconds.get(file, UNMEASURED_SECONDS) / self._workers
        self._estimate.done += took / max(1, self._of_file[file])
        if time.monotonic() - self._said_at > SAY_SECONDS:
            self._line(f"  {self._ended:,} of {self._of_file.total():,} tests")

    def _line(self, text: str) -> None:
        self._said_at = time.monotonic()
        self._say(f"{text}, {self._estimate.left}")


def file_of(test: str) -> str:
    """Return the file of a test, by the test's id."""
    return test.partition("::")[0]


def why(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return in one line why a test failed or was skipped."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else report.longreprtext
    return str(text).partition("\n")[0]
