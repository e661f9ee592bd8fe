"""When traces are sent, and what of them travels with a message."""

import asyncio
import pickle
import subprocess
import sys

import pytest

from actors.protocol.calls import Envelope
from actors.routing.wire import packed, unpacked
from actors.runtime import tracing
from actors.runtime.tracing import DatabaseSteps, Step
from domain.values import UserId
from tests.fakes.spans import counting_clock

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
OF_TRACES = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}
OFF = """
import sys
import ray.serve  # It imports OpenTelemetry for itself.
before = set(sys.modules)
import actors.launch, actors.remote.shard, actors.serving.replica
from actors.runtime.tracing import tracer_for
assert tracer_for("x", {}) is None
print(*(name for name in set(sys.modules) - before if name.startswith("opentelemetry")))
"""


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        (ENDPOINT, True),
        (OF_TRACES, True),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_traces_are_wanted_where_an_endpoint_is_named(
    environ: dict[str, str], wanted: bool
) -> None:
    assert tracing.is_wanted(environ) is wanted


def test_off_we_import_nothing_of_opentelemetry() -> None:
    done = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_a_missing_package_costs_the_traces_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter.otlp")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp", None)

    assert tracing.tracer_for("x", ENDPOINT) is None
    assert "pip install 'allotment[otel]'" in caplog.text
    assert not tracing.is_installed()


def test_spans_travel_behind_an_envelope_which_older_shards_read_alone() -> None:
    envelope = Envelope(3, (), (UserId("ann"),))
    message = packed(envelope, ["a", "b"])

    assert unpacked(message) == (envelope, ("a", "b"))
    assert pickle.loads(message) == envelope
    assert packed(envelope, ()) == pickle.dumps(envelope, 5)
    assert unpacked(packed(envelope, ())) == (envelope, ())


def test_a_message_is_for_the_requests_whose_calls_it_carries_and_no_others() -> None:
    async def carrier() -> list[list[str]]:
        found = [list(tracing.travelling())]
        tracing.load([None, "b", "c", "b"])
        found.append(list(tracing.travelling()))
        tracing.load([None])
        found.append(list(tracing.travelling()))
        return found

    async def request() -> list[list[str]]:
        token = tracing.enter(lambda: "a")
        try:
            return await asyncio.create_task(carrier())
        finally:
            tracing.leave(token)

    assert asyncio.run(request()) == [["a"], ["b", "c"], []]
    assert tracing.carried() is None


def test_steps_are_noted_as_they_end_however_they_end() -> None:
    steps = DatabaseSteps(counting_clock())

    async def ok() -> int:
        return 7

    async def lost() -> int:
        raise ConnectionError

    async def both() -> None:
        assert await steps.timed("load", ok()) == 7
        with pytest.raises(ConnectionError):
            await steps.timed("append", lost())

    asyncio.run(both())

    load, append = Step("load", 1, 2, None), Step("append", 3, 4, "ConnectionError")
    assert steps.between(0, 9) == [load, append]
    assert steps.between(2, 9) == [append]
    assert steps.between(1, 3) == [load]


def test_so_many_steps_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "STEPS_MAX", 3)
    steps = DatabaseSteps(counting_clock())

    async def step() -> None:
        return None

    async def run() -> None:
        for number in range(5):
            await steps.timed(f"step {number}", step())

    asyncio.run(run())

    assert [one.name for one in steps.between(0, sys.maxsize)] == ["step 2", "step 3", "step 4"]
