"""A start on a busy machine: what is tried again, and the sentence where it is given up."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray._private import node as ray_node
from ray.exceptions import ActorDiedError, GetTimeoutError
from typer.testing import CliRunner

from actors import launch
from actors.cli.main import app
from actors.remote import local_cluster
from actors.remote.start_steps import ATTEMPTS_MAX, CannotStartError, attempt, starting

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
    assert steps == [f"Ray again, attempt {2 + index} of 3" for index in range(failures)]


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


def test_the_command_prints_the_sentence_and_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def service(_settings: object, tell: object) -> Iterator[None]:
        attempt("Ray", RaysStart(ATTEMPTS_MAX), tell)  # type: ignore[arg-type]
        yield

    monkeypatch.setattr(launch, "service", service)

    ended = CliRunner().invoke(app, ["up"])

    assert ended.exit_code == 1
    assert ended.stdout.splitlines() == [
        "starting Ray again, attempt 2 of 3 …",
        "starting Ray again, attempt 3 of 3 …",
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


def test_a_port_that_another_program_took_is_not_the_agents() -> None:
    listen = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); "
    listen += "print(s.getsockname()[1], flush=True); time.sleep(600)"
    with (
        socket.create_server(("127.0.0.1", 0)) as anothers,
        subprocess.Popen(
            [sys.executable, "-c", listen], stdout=subprocess.PIPE, text=True
        ) as child,
    ):
        try:
            assert child.stdout is not None
            port = int(child.stdout.readline())
            theirs = anothers.getsockname()[1]
            found = local_cluster.ports_below(os.getpid())
        finally:
            child.kill()

    assert port in found
    assert theirs not in found
