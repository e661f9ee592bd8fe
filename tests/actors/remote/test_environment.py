"""What Ray finds in its environment, with and without HAProxy, on loopback and elsewhere."""

import os

import pytest

from actors.remote import environment as ray_environment
from actors.remote.environment import prepare, serve_environment
from tests.fakes.haproxy import SCRIPT


def test_haproxy_is_on_and_behind_loopback_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_environment, "haproxy_binary", lambda: "/usr/sbin/haproxy")

    variables = serve_environment()

    assert variables["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert variables["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert variables["RAY_SERVE_HAPROXY_BINARY_PATH"] == str(SCRIPT)
    assert os.access(SCRIPT, os.X_OK)


def test_a_replica_goes_on_until_haproxy_has_heard_that_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_environment, "haproxy_binary", lambda: "/usr/sbin/haproxy")
    own, joined = dict[str, str](), {"RAY_ADDRESS": "10.0.0.1:6379"}

    prepare(own)
    prepare(joined)

    looks_each = float(own["RAY_SERVE_CONTROL_LOOP_INTERVAL_S"])
    assert float(own["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"]) > 4 * looks_each
    assert float(joined["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"]) >= 5


def test_without_haproxy_serves_own_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_environment, "haproxy_binary", lambda: None)

    variables = serve_environment()

    assert "RAY_SERVE_ENABLE_HA_PROXY" not in variables
    assert variables["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"


def test_an_environment_that_is_prepared_already_names_the_same_haproxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RAY_SERVE_HAPROXY_BINARY_PATH", "ALLOTMENT_HAPROXY_BINARY"):
        monkeypatch.delenv(name, raising=False)
    before = serve_environment()
    for name, value in before.items():
        monkeypatch.setenv(name, value)

    assert serve_environment() == before


def test_what_the_operator_has_set_stays() -> None:
    environment = {"RAY_AUTH_MODE": "disabled"}

    prepare(environment)

    assert environment["RAY_AUTH_MODE"] == "disabled"
    assert environment["RAY_worker_niceness"] == "0"
