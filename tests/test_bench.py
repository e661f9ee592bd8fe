"""What a benchmark measures and says of itself, and where it stands still."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from itertools import count
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from bench import peers
from bench.cases import Case, Measured, all_cases, without_absent
from bench.processes import BenchError, Service, unsettled
from bench.progress import long_step, track
from bench.redis_server import hash_line
from bench.report import VERDICTS, alone, beside
from tests.patience import PATIENCE_SECONDS
from tests.service.running import wait_until

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


def test_a_step_that_takes_long_says_so() -> None:
    file = StringIO()
    with long_step(Console(file=file, width=100), "a sweep", line_seconds=0.01):
        wait_until(lambda: "a sweep, for 0:00:00\n" in file.getvalue(), PATIENCE_SECONDS)

    assert file.getvalue().startswith("a sweep\na sweep, for ")


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


def test_what_is_compared_stands_side_by_side() -> None:
    usage = [case.server for case in all_cases([64]) if case.job == "usage" and case.width == 64]

    assert usage == [
        *("allotment", "one call per request", "plain FastAPI"),
        *("Express + Mongoose", "Express + Redis", "one insert"),
    ]


def test_a_peer_whose_programs_are_not_there_is_skipped_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")

    here, absent = without_absent(all_cases([1]))

    assert absent == dict.fromkeys(("Express + Mongoose", "Express + Redis"), "there is no node")
    assert here == [case for case in all_cases([1]) if not case.server.startswith("Express")]


def test_a_peer_without_its_packages_names_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peers, "EXPRESS", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")

    _, absent = without_absent([Case("Express + Redis", "usage", 64)])

    assert absent == {"Express + Redis": "`make peers` installs its packages"}


def measured(per_second: float, *latencies_us: int) -> Measured:
    return Measured(rates=[per_second], latencies_us=list(latencies_us))


@pytest.mark.parametrize(
    ("target", "goal", "meets"), [(2.0, ">= 2.0", True), (2.5, ">= 2.5", False), (None, "", None)]
)
def test_a_rate_is_at_least_so_many_times_that_of_a_peer(
    target: float | None, goal: str, meets: bool | None
) -> None:
    promise = beside("usage", "plain FastAPI", target)
    value = promise.value(
        {promise.case: measured(4000), Case("plain FastAPI", "usage", 64): measured(2000)}
    )

    assert value == 2.0
    assert (promise.goal, promise.meets(value)) == (goal, meets)
    assert promise.meets(value) in VERDICTS


@pytest.mark.parametrize(("target", "meets"), [(1.5, True), (1.4, False), (None, None)])
def test_a_single_caller_waits_at_most_so_many_times_as_long(
    target: float | None, meets: bool | None
) -> None:
    promise = alone("one insert", target)
    value = promise.value(
        {
            promise.case: measured(500, 1000, 1500, 9000),
            Case("one insert", "usage", 1): measured(800, 900, 1000, 1100),
        }
    )

    assert value == 1.5
    assert promise.meets(value) is meets


def test_a_number_is_not_told_where_a_part_of_it_was_not_measured() -> None:
    promise = alone("one insert", 1.5)

    assert promise.value({promise.case: measured(500, 1000)}) is None


def test_redis_is_told_of_instants_as_javascript_reads_them() -> None:
    day = {"date": datetime(2026, 3, 10, tzinfo=UTC), "credits_used": 0}

    assert hash_line("day:ada:2026-03-10", day) == (
        "HSET day:ada:2026-03-10 date 2026-03-10T00:00:00.000Z credits_used 0\r\n"
    )


def test_a_refused_request_ends_a_run_with_what_the_service_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(method: str, url: str, **_options: object) -> httpx.Response:
        return httpx.Response(503, text="the database is away", request=httpx.Request(method, url))

    monkeypatch.setattr(httpx, "request", refuse)
    service = Service(8000, "key", "mongodb://", "ray://", {}, Path())

    with pytest.raises(BenchError, match="/admin/validate was answered 503 the database is away"):
        service.post("/admin/validate", 1.0)
