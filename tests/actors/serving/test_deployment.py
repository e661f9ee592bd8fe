"""Waiting for the replicas of HTTP: until they answer, are given up, or the limit is reached."""

from types import SimpleNamespace

import pytest
from ray import serve
from ray.serve.schema import ApplicationStatus

from actors.serving import deployment

NO_PAUSE = 0.0


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[ApplicationStatus]:
    """Return what Serve is still to say, look by look; it repeats the last."""
    left: list[ApplicationStatus] = []

    def status() -> SimpleNamespace:
        now = left.pop(0) if len(left) > 1 else left[0]
        found = SimpleNamespace(status=now, message="no room.\nTraceback")
        return SimpleNamespace(applications={deployment.APPLICATION: found})

    monkeypatch.setattr(serve, "status", status)
    monkeypatch.setattr(deployment, "POLL_SECONDS", NO_PAUSE)
    return left


def test_replicas_are_waited_for_until_they_answer(told: list[ApplicationStatus]) -> None:
    told += [ApplicationStatus.DEPLOYING, ApplicationStatus.DEPLOYING, ApplicationStatus.RUNNING]

    deployment.wait_until_running(60.0)

    assert told == [ApplicationStatus.RUNNING]


def test_what_serve_gives_up_is_told(told: list[ApplicationStatus]) -> None:
    told += [ApplicationStatus.DEPLOYING, ApplicationStatus.DEPLOY_FAILED]

    with pytest.raises(RuntimeError, match="no room"):
        deployment.wait_until_running(60.0)


def test_replicas_that_never_answer_are_given_up(told: list[ApplicationStatus]) -> None:
    told += [ApplicationStatus.DEPLOYING]

    with pytest.raises(TimeoutError, match="within 0 seconds"):
        deployment.wait_until_running(0.0)
