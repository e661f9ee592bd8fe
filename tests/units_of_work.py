"""What a worker is handed at a time, and in which order: the longest first. And what needs a server.

Else one worker is left at the end with what takes minutes. How long files take stands in
`tests/seconds.json`; tests that take long each stand there by their ids, too.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.progress import UNMEASURED_SECONDS, Seconds, file_of

SECONDS_FILE = Path(__file__).with_name("seconds.json")
SERVER, EMBEDDED = "mongo_uri", "embedded"
"""The fixture that starts the server, and the parameter that stands for it beside stores in memory."""
SERVICE = "tests/service/"
SCRIPTS = f"{SERVICE}test_scripts.py"
OF_THEIR_OWN = {
    f"{SERVICE}{name}.py"
    for name in (
        "test_cluster",
        "test_own_database",
        "test_slow_start",
        "test_stripe",
        "test_traces",
        "test_typescript_restart",
    )
}
"""Files whose tests use none of the services that `tests/service` shares, but start others."""
SHARED = {"service", "rehearsal"}
"""The fixtures that start the services of `tests/service`; the second one's clock may be set."""
REHEARSED = {
    f"{SERVICE}{name}.py"
    for name in (
        "test_metrics",
        "test_quickstart_python",
        "test_readme",
        "test_shared_machine",
        "test_trust",
    )
}
"""Files whose tests use `rehearsal`, but for those whose parameter says otherwise."""


def unit_of(test: str) -> str:
    """Return the unit of a test: its file, or one script, or all that share a service."""
    file = file_of(test)
    if file == SCRIPTS:
        return test
    if not file.startswith(SERVICE) or file in OF_THEIR_OWN:
        return file
    parameter = test.rpartition("[")[2].rstrip("]")
    if parameter in SHARED:
        return parameter
    return "rehearsal" if file in REHEARSED else "service"


def longest_first(tests: Sequence[str], seconds: Seconds) -> list[str]:
    """Return the tests, those of the longest unit first; within one they stay as they are."""
    of_file = Counter(map(file_of, tests))
    length: defaultdict[str, float] = defaultdict(float)
    for test in tests:
        file = file_of(test)
        share = seconds.get(file, UNMEASURED_SECONDS) / of_file[file]
        length[unit_of(test)] += seconds.get(test, share)
    return sorted(tests, key=lambda test: (-length[unit_of(test)], unit_of(test)))


def read_seconds() -> dict[str, float]:
    """Return how long files and long tests took on the machine that was measured."""
    found: dict[str, float] = json.loads(SECONDS_FILE.read_text())
    return found


def needs_server(item: pytest.Item) -> bool:
    """Say whether a test uses the database server of `tests/actors`, which takes long to prepare."""
    callspec = getattr(item, "callspec", None)
    chosen = callspec.params.values() if callspec else ()
    return SERVER in getattr(item, "fixturenames", ()) or EMBEDDED in chosen


def check_units(items: Sequence[pytest.Item]) -> None:
    """Raise UsageError where a unit would start a service that another one shares."""
    for item in items:
        unit, used = unit_of(item.nodeid), SHARED.intersection(getattr(item, "fixturenames", ()))
        if unit in SHARED and not used <= {unit}:
            raise pytest.UsageError(f"{item.nodeid} uses {used}: see REHEARSED in {__file__}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a server, and order the tests in each worker, as they are numbered there."""
    check_units(items)
    for item in filter(needs_server, items):
        item.add_marker("server")
    if hasattr(config, "workerinput"):
        order = longest_first([item.nodeid for item in items], read_seconds())
        place = {test: number for number, test in enumerate(order)}
        items.sort(key=lambda item: place[item.nodeid])
