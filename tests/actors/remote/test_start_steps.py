"""A start on a busy machine: what is tried again, and the sentence where it is given up."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray._private import node as ray_node
from ray.exceptions import ActorDiedError, GetTimeoutError
from typer.testing import CliRunner

from actors import launch
from actors.cli.main import app
from actors.remote import local_cluster
from actors.remote.environment import LOOPBACK
from actors.remote.ports import PROXY_PORTS, claim_of, claimed_ports
from actors.remote.start_steps import ATTEMPTS_MAX, CannotStartError, attempt, starting
from actors.settings import Settings

RAYS_WORDS = (
    "The current node timed out during startup. This could happen because some of the raylet "
    "failed to startup or the GCS has become overloaded.\n[2026-11-28 E 1] (raylet) Check failed"
)


class RaysStart:
    """Ray's start: it fails so many times, as Ray does where a machine is busy."""

    def __init__(self, failures: int) -> None:
        self.calls = 0
        self._failures = failures

    def __call__(self, **_options: object) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise Exception(RAYS_WORDS)  # noqa: TRY002 - the type that Ray raises
        return "context"


@pytest.fixture
def steps() -> list[str]:
    return []


@pytest.mark.parametrize("failures", range(ATTEMPTS_MAX))
def test_what_fails_is_tried_again_and_told(failures: int, steps: list[str]) -> None:
    start = RaysStart(failures)

    assert attempt("Ray", start, steps.append) == "context"

    assert start.calls == failures + 1
    why = "The current node timed out during startup"
    assert steps == [f"Ray again, attempt {2 + index} of 3: {why}" for index in range(failures)]


def test_what_another_try_cannot_help_is_not_tried_again(steps: list[str]) -> None:
    def start() -> None:
        raise CannotStartError("The port is taken.")

    with pytest.raises(CannotStartError, match="The port is taken"):
        attempt("HTTP", start, steps.append)

    assert steps == []


def test_what_fails_always_is_given_up_in_one_sentence(steps: list[str]) -> None:
    start = RaysStart(ATTEMPTS_MAX)

    with pytest.raises(CannotStartError) as given_up:
        attempt("Ray", start, steps.append)

    sentence = str(given_up.value)
    assert start.calls == ATTEMPTS_MAX
    assert sentence.startswith("Ray did not start in 3 attempts (load average ")
    assert sentence.endswith(": The current node timed out during startup.")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (GetTimeoutError("Get timed out"), "The janitor actor did not start within 180 seconds ("),
        (ActorDiedError(), "The janitor actor did not start: The actor died"),
        (RuntimeError("Deploying failed: replicas\nTraceback"), "did not start: Deploying failed"),
        (ConnectionError(), "The janitor actor did not start: ConnectionError."),
    ],
)
def test_rays_failures_are_told_in_one_sentence(failure: Exception, sentence: str) -> None:
    with pytest.raises(CannotStartError) as told, starting("The janitor actor"):
        raise failure

    assert sentence in str(told.value)
    assert "\n" not in str(told.value)


def test_a_cluster_that_does_not_start_leaves_nothing_of_ours_in_ray(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: list[str]
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    classes = []
    start = RaysStart(ATTEMPTS_MAX)

    def init(**options: object) -> object:
        classes.append(ray_node.Node)
        return start(**options)

    theirs = ray_node.Node
    monkeypatch.setattr(local_cluster, "init", init)
    before = dict(os.environ)

    with pytest.raises(CannotStartError), local_cluster.ray_cluster(tmp_path, steps.append):
        pytest.fail("it cannot start")

    assert classes == [local_cluster.PatientNode] * ATTEMPTS_MAX
    assert ray_node.Node is theirs
    assert not (tmp_path / "ray.address").exists()
    assert dict(os.environ) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names to claim")
def test_the_ports_of_a_nodes_agents_are_claimed_until_they_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ports: list[int] = []

    def begin(_node: object, params: SimpleNamespace, **_options: object) -> None:
        ports.extend(getattr(params, name) for name in local_cluster.AGENT_PORTS)
        for port in ports:
            with pytest.raises(OSError, match="in use"):
                claim_of(LOOPBACK, port)

    monkeypatch.setattr(ray_node.Node, "__init__", begin)
    monkeypatch.setattr(local_cluster.PatientNode, "_await_agents", lambda _: None)

    local_cluster.PatientNode(SimpleNamespace())

    assert len(set(ports)) == len(local_cluster.AGENT_PORTS)
    for port in ports:
        claim_of(LOOPBACK, port).close()


def test_a_cluster_that_cannot_be_joined_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: list[str]
) -> None:
    def init() -> object:
        raise ConnectionError("Failed to connect to Ray cluster at 127.0.0.1:9")

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setattr(local_cluster, "init", init)

    with (
        pytest.raises(CannotStartError, match="RAY_ADDRESS cannot be joined: Failed to connect"),
        local_cluster.ray_cluster(tmp_path, steps.append),
    ):
        pytest.fail("it cannot be joined")

    assert steps == []


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_http_that_finds_its_port_taken_ends_at_once_and_says_which(
    monkeypatch: pytest.MonkeyPatch, steps: list[str], when: str
) -> None:
    with claimed_ports(1 + len(PROXY_PORTS)) as found:
        http_port, *ports = found
    for variable, port in zip(PROXY_PORTS, ports, strict=True):
        monkeypatch.setenv(variable, str(port))
    with contextlib.ExitStack() as stack:

        def take(*_: object) -> None:
            stack.enter_context(socket.create_server(("127.0.0.1", ports[-1])))
            raise TimeoutError

        monkeypatch.setattr("actors.serving.deployment.begin", take)
        if when == "before":
            monkeypatch.setattr("actors.serving.deployment.begin", pytest.fail)
            with pytest.raises(TimeoutError):
                take()
        with (
            pytest.raises(CannotStartError, match=f"took port {ports[-1]} during the start"),
            launch.http(Settings(http_port=http_port), steps.append),
        ):
            pytest.fail("it cannot start")

    assert steps == []


def test_the_command_prints_the_sentence_and_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def service(_settings: object, tell: object) -> Iterator[None]:
        attempt("Ray", RaysStart(ATTEMPTS_MAX), tell)  # type: ignore[arg-type]
        yield

    monkeypatch.setattr(launch, "service", service)

    ended = CliRunner().invoke(app, ["up"])

    assert ended.exit_code == 1
    assert ended.stdout.splitlines() == [
        "starting Ray again, attempt 2 of 3: The current node timed out during startup …",
        "starting Ray again, attempt 3 of 3: The current node timed out during startup …",
    ]
    assert len(ended.stderr.splitlines()) == 1
    assert "overloaded" not in ended.stderr


def test_what_starts_ray_can_be_imported_first() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import actors.remote.local_cluster"],
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
