"""What Ray finds in its environment, with and without HAProxy, on loopback and elsewhere."""

import os
import subprocess
from pathlib import Path

import pytest

from actors import ray_environment
from actors.ray_environment import prepare, serve_environment
from actors.settings import Settings

SCRIPT = Path(ray_environment.__file__).with_name("haproxy_on_loopback.sh")
CONFIGURATION = """frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:8000
listen stats
  bind *:8404
"""


def local(**fields: object) -> Settings:
    return Settings(_env_file=None, **fields)


def test_haproxy_is_on_and_behind_loopback_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_environment, "haproxy_binary", lambda: "/usr/sbin/haproxy")

    variables = serve_environment(local())

    assert variables["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert variables["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert variables["RAY_SERVE_HAPROXY_BINARY_PATH"] == str(SCRIPT)
    assert os.access(SCRIPT, os.X_OK)


def test_another_host_gets_haproxy_as_ray_configures_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_environment, "haproxy_binary", lambda: "/usr/sbin/haproxy")

    variables = serve_environment(local(http_host="0.0.0.0"))

    assert variables["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert "RAY_SERVE_HAPROXY_BINARY_PATH" not in variables


def test_without_haproxy_serves_own_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_environment, "haproxy_binary", lambda: None)

    variables = serve_environment(local())

    assert "RAY_SERVE_ENABLE_HA_PROXY" not in variables
    assert variables["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"


def test_what_the_operator_has_set_stays() -> None:
    environment = {"RAY_AUTH_MODE": "disabled"}

    prepare(local(), environment)

    assert environment["RAY_AUTH_MODE"] == "disabled"
    assert environment["RAY_worker_niceness"] == "0"


def test_the_stand_in_puts_every_listener_on_loopback(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(CONFIGURATION)

    done = subprocess.run(
        [SCRIPT, "-db", "-f", file, "-x", "socket"],
        env={"ALLOTMENT_HAPROXY_BINARY": "/bin/echo", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )

    bound = [line.split()[1] for line in file.read_text().splitlines() if "bind" in line]
    assert bound == ["127.0.0.1:9101", "127.0.0.1:8000", "127.0.0.1:8404"]
    assert done.stdout.split() == ["-db", "-f", str(file), "-x", "socket"]
