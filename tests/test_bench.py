"""What a benchmark says of itself where nobody watches it, and where it stands still."""

from collections.abc import Iterator
from io import StringIO
from itertools import count

from rich.console import Console

from bench.processes import unsettled
from bench.progress import track

AT_REST = {"shard": "shard-000", "queued": 0, "journal_seconds_behind": 0.0}
NO_EVENTS = {"undelivered_count": 0, "endpoints": []}


def shown(names: list[str], seconds: Iterator[float]) -> list[str]:
    """Return the lines of a run in a file whose parts have these names."""
    file = StringIO()
    console = Console(file=file, width=100)
    assert list(track(console, names, str, lambda: next(seconds))) == names
    return file.getvalue().splitlines()


def test_in_a_file_each_part_that_begins_has_a_line_with_the_time_left() -> None:
    seconds = iter([0.0, 0.0, 2.0, 4.0])

    assert shown(["status", "usage", "holds"], seconds) == [
        "[1/3] status",
        "[2/3] usage, about 0:00:04 left",
        "[3/3] holds, about 0:00:02 left",
    ]


def test_parts_of_one_name_have_a_line_now_and_then() -> None:
    seconds = count(0.0, 4.0)

    assert shown(["seeding"] * 5, map(float, seconds)) == [
        "[1/5] seeding",
        "[4/5] seeding, about 0:00:11 left",
    ]


def test_a_service_at_rest_has_nothing_left_to_do() -> None:
    assert unsettled([AT_REST], NO_EVENTS) == []


def test_what_is_not_at_rest_is_named() -> None:
    behind = {"shard": "shard-001", "queued": 3, "journal_seconds_behind": 4.25}
    endpoints = [{"endpoint": "log", "undelivered": 0}, {"endpoint": "crm", "undelivered": 12}]

    left = unsettled([AT_REST, behind], {"undelivered_count": 12, "endpoints": endpoints})

    assert left == [
        "shard-001 has 3 calls queued, its views are 4.2 s behind the journal",
        "12 deliveries of events are outstanding (crm 12)",
    ]
