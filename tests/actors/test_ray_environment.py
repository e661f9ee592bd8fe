"""What Ray finds in its environment, with and without HAProxy, on loopback and elsewhere."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from actors import ray_environment
from actors.edge.problems import STATUS
from actors.ray_environment import prepare, serve_environment

SCRIPT = Path(ray_environment.__file__).with_name("haproxy_guarded.sh")
CONFIGURATION = """global
    stats socket /tmp/x.sock mode 666 level admin expose-fd listeners
defaults
    timeout client 3600s
    option httplog
    errorfile 502 /tmp/500.http
frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:8000
listen stats
  bind *:8404
"""


def test_haproxy_is_on_and_behind_loopback_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_environment, "haproxy_binary", lambda: "/usr/sbin/haproxy")

    variables = serve_environment()

    assert variables["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert variables["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert variables["RAY_SERVE_HAPROXY_BINARY_PATH"] == str(SCRIPT)
    assert os.access(SCRIPT, os.X_OK)


def test_without_haproxy_serves_own_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_environment, "haproxy_binary", lambda: None)

    variables = serve_environment()

    assert "RAY_SERVE_ENABLE_HA_PROXY" not in variables
    assert variables["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"


def test_what_the_operator_has_set_stays() -> None:
    environment = {"RAY_AUTH_MODE": "disabled"}

    prepare(environment)

    assert environment["RAY_AUTH_MODE"] == "disabled"
    assert environment["RAY_worker_niceness"] == "0"


def guard(file: Path) -> list[str]:
    """Run the stand-in as Serve does; return what HAProxy is given."""
    done = subprocess.run(
        [SCRIPT, "-db", "-f", file, "-x", "socket"],
        env={"ALLOTMENT_HAPROXY_BINARY": "/bin/echo", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_the_stand_in_puts_every_listener_on_loopback(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(CONFIGURATION)

    given = guard(file)

    bound = [line.split()[1] for line in file.read_text().splitlines() if " bind" in line]
    assert bound == ["127.0.0.1:9101", "127.0.0.1:8000", "127.0.0.1:8404"]
    assert given == ["-db", "-f", str(file), "-x", "socket"]


def test_the_stand_in_guards_a_configuration_once(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(CONFIGURATION)

    guard(file)
    once = file.read_text()
    guard(file)

    assert file.read_text() == once
    assert "mode 600 level admin" in once
    assert "/tmp/500.http" not in once
    assert once.count("timeout http-request 10s") == once.count("path_beg /-/") == 1
    for line in once.splitlines():
        if "errorfile" in line:
            assert Path(line.split()[-1]).is_file()


def test_haproxy_takes_the_guarded_configuration(tmp_path: Path) -> None:
    binary = ray_environment.haproxy_binary()
    if binary is None:
        pytest.skip("there is no HAProxy for this system")
    file = tmp_path / "haproxy.cfg"
    timeouts = "    timeout client 9s\n    timeout connect 9s\n    timeout server 9s\n"
    file.write_text(
        CONFIGURATION.replace("    timeout client 3600s\n", "    mode http\n" + timeouts)
    )
    guard(file)

    checked = subprocess.run(
        [binary, "-c", "-f", file], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", ["400.http", "408.http", "503.http"])
def test_what_haproxy_answers_itself_is_a_problem_body(name: str) -> None:
    head, _, body = (
        (SCRIPT.parent / "answers_of_haproxy" / name).read_bytes().partition(b"\r\n\r\n")
    )

    problem = json.loads(body)

    assert head.startswith(f"HTTP/1.1 {problem['status']} ".encode())
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"application/problem+json" in head
    assert problem["code"] in STATUS
