"""Traces and `status --watch` of a whole service: with a collector, with it gone, and off again."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.runtime.tracing import is_installed
from tests.patience import PATIENCE_SECONDS, SERVICE_SECONDS
from tests.service.collector import Collector
from tests.service.requests import add_credits, charge, status
from tests.service.running import RunningService, wait_until

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        not is_installed(), reason="opentelemetry-exporter-otlp-proto-http is not installed"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc"),
]

TRACE, CALLER = "5c" * 16, "0a" * 8
USER = "traced-user"


@contextmanager
def watching(service: RunningService) -> Iterator[list[dict[str, Any]]]:
    """Run `allotment status --watch` as long as the block; yield what it prints. Ctrl-C ends it."""
    command = [sys.executable, "-m", "actors", "status", "--watch", "--json", "--interval", "0.5"]
    process = subprocess.Popen(
        command,
        cwd=service.cwd,
        env=service.environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    looks: list[dict[str, Any]] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            looks.append(json.loads(line))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield looks
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(SERVICE_SECONDS)
        reader.join(PATIENCE_SECONDS)
    assert code == 0


def imports_of(pid: int) -> str:
    """Return what a process of Ray's has told of its imports."""
    return Path(os.readlink(f"/proc/{pid}/fd/2")).read_text()


def logs_beside(pid: int) -> str:
    """Return what all of Ray's workers have told of theirs."""
    folder = Path(os.readlink(f"/proc/{pid}/fd/2")).parent
    return "".join(one.read_text() for one in folder.glob("worker-*.err"))


def shard_pid(http: httpx.Client) -> int:
    return int(http.get("/admin/shards").json()[0]["pid"])


def test_a_trace_goes_from_the_request_to_the_journal_and_costs_nobody_the_service(
    tmp_path: Path,
) -> None:
    with Collector() as collector:
        traced = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        }
        on = RunningService(tmp_path, ALLOTMENT_SHARDS="1", **traced)
        on.start()
        try:
            with on.client() as http:
                add_credits(http, USER, amount=300_000).raise_for_status()
                http.headers["traceparent"] = f"00-{TRACE}-{CALLER}-01"
                assert charge(http, USER, 30).status_code == 201
                del http.headers["traceparent"]
                whole = {
                    "": ["POST /subscription/usage"],
                    "POST /subscription/usage": ["shard"],
                    "shard": ["append to the journal"],
                }
                wait_until(lambda: collector.tree(TRACE) == whole, PATIENCE_SECONDS)
                mine = [one for one in collector.received if one.trace == TRACE]
                assert {one.parent for one in mine} >= {CALLER}
                assert {one.part for one in mine} == {"allotment/http", "allotment/shard-000"}
                assert USER not in repr(collector.received)

                with collector_gone(collector), watching(on) as looks:
                    for _ in range(50):
                        assert charge(http, USER, 2).status_code == 201
                    wait_until(lambda: charged_in(looks), PATIENCE_SECONDS)
                left = status(http, USER)["remaining_credits"]
        finally:
            on.stop()

    off = RunningService(tmp_path, ALLOTMENT_SHARDS="1", PYTHONPROFILEIMPORTTIME="1")
    off.port, off.address = on.port, on.address
    with watching(off) as looks:
        wait_until(lambda: bool(looks), SERVICE_SECONDS)
        assert looks[-1]["state"] == "The service does not answer."
        with off, off.client() as http:
            wait_until(lambda: looks[-1]["shards"] == 1, PATIENCE_SECONDS)
            assert charge(http, USER, 1).json()["remaining_credits"] == left - 1
            pid = shard_pid(http)
            assert "actors.remote.shard" in imports_of(pid)
            assert "opentelemetry" not in imports_of(pid)
            everywhere = logs_beside(pid)
            assert "actors.serving.replica" in everywhere
            for name in (
                "actors.runtime.otlp",
                "actors.edge.traced",
                "opentelemetry.exporter.otlp",
            ):
                assert name not in everywhere


@contextmanager
def collector_gone(collector: Collector) -> Iterator[None]:
    """Have nobody listen where the collector was, as long as the block."""
    collector.__exit__()
    yield
    collector.__enter__()


def charged_in(looks: list[dict[str, Any]]) -> bool:
    """Whether a look has seen what was charged."""
    return any((look["credits_charged_a_minute"] or 0) > 0 for look in looks)
