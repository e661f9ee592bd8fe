"""Traces and `status --watch` of a whole service: with a collector, with it gone, and off again."""

import json
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
        with process.stdout as lines:
            looks.extend(map(json.loads, lines))

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
    return Path(f"/proc/{pid}/fd/2").readlink().read_text()


def logs_beside(pid: int) -> str:
    """Return what all of Ray's workers have told of theirs."""
    folder = Path(f"/proc/{pid}/fd/2").readlink().parent
    return "".join(one.read_text() for one in folder.glob("worker-*.err"))


@contextmanager
def traced(directory: Path, collector: Collector) -> Iterator[RunningService]:
    """Run a service that sends traces."""
    sent = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    with RunningService(directory, ALLOTMENT_SHARDS="1", **sent) as service:
        yield service


def check_tree(http: httpx.Client, collector: Collector) -> None:
    """Charge as part of a caller's trace, and find all of it in one tree."""
    header = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "a=b"}
    body = {"user_id": USER, "service_type": "chat", "credit_amount": 30}
    http.post("/subscription/usage", json=body, headers=header).raise_for_status()
    whole = {
        "": ["POST /subscription/usage"],
        "POST /subscription/usage": ["shard"],
        "shard": ["append to the journal"],
    }
    wait_until(lambda: collector.tree(TRACE) == whole, PATIENCE_SECONDS)
    mine = [one for one in collector.received if one.trace == TRACE]
    assert CALLER in {one.parent for one in mine}
    assert {one.part for one in mine} == {"allotment/http", "allotment/shard-000"}
    assert USER not in repr(collector.received)


def check_imports(pid: int) -> None:
    """Look into what a shard, and all other processes, have imported."""
    everywhere = logs_beside(pid)
    assert "actors.remote.shard" in imports_of(pid)
    assert "opentelemetry" not in imports_of(pid)
    assert "actors.serving.replica" in everywhere
    for name in ("actors.runtime.otlp", "actors.edge.traced", "opentelemetry.exporter.otlp"):
        assert name not in everywhere


def test_traces_are_whole_trees_and_nobody_waits_for_a_collector(tmp_path: Path) -> None:
    with Collector() as collector, traced(tmp_path, collector) as service, service.client() as http:
        add_credits(http, USER, amount=300_000).raise_for_status()
        check_tree(http, collector)
        with collector_gone(collector), watching(service) as looks:
            wait_until(lambda: bool(looks), SERVICE_SECONDS)  # Rates are of what comes after it.
            for _ in range(50):
                assert charge(http, USER, 2).status_code == 201
            wait_until(lambda: charged_in(looks), PATIENCE_SECONDS)
        left = status(http, USER)["remaining_credits"]

    off = RunningService(tmp_path, ALLOTMENT_SHARDS="1", PYTHONPROFILEIMPORTTIME="1")
    with watching(off) as looks:
        wait_until(lambda: bool(looks), SERVICE_SECONDS)
        assert looks[-1]["state"] == "The service does not answer."
        with off, off.client() as http:
            wait_until(lambda: looks[-1]["shards"] == 1, PATIENCE_SECONDS)
            assert charge(http, USER, 1).json()["remaining_credits"] == left - 1
            check_imports(int(http.get("/admin/shards").json()[0]["pid"]))


@contextmanager
def collector_gone(collector: Collector) -> Iterator[None]:
    """Have nobody listen where the collector was, as long as the block."""
    collector.__exit__()
    yield
    collector.__enter__()


def charged_in(looks: list[dict[str, Any]]) -> bool:
    """Whether a look has seen what was charged."""
    return any((look["credits_charged_a_minute"] or 0) > 0 for look in looks)
