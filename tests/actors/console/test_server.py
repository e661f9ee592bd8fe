"""How the console is started: where it listens, what it prints, and what it does not start with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actors.cli.console import NICENESS, address_of, kept_key
from actors.cli.main import app
from actors.console.server import CannotListenError, bound, greeting
from actors.console.sessions import Link
from actors.settings import Settings
from bench.processes import free_port

NICENESS_MAX = 19  # Of Linux.


def test_it_takes_the_next_port_that_is_free() -> None:
    with bound("127.0.0.1", 20_300) as first:
        port = first.getsockname()[1]
        with bound("127.0.0.1", port) as second:
            assert port < second.getsockname()[1] <= port + 20


def test_without_any_free_port_it_says_so() -> None:
    with pytest.raises(CannotListenError, match="65535"), bound("127.0.0.1", 65535):
        bound("127.0.0.1", 65535)


def test_the_printed_line_has_a_link_that_is_no_key() -> None:
    link = Link("allot_secret", lambda: 0.0)

    assert "allot_secret" not in greeting("http://here", link)
    assert f"http://here/sign-in#once={link.token} " in greeting("http://here", link)
    assert "sign in with an admin key" in greeting("http://here", None)


def test_it_calls_the_service_of_the_settings_with_the_kept_key(tmp_path: Path) -> None:
    settings = Settings(http_host="0.0.0.0", http_port=8123, data_dir=tmp_path)
    (tmp_path / "admin.key").write_text("allot_kept\n")

    assert address_of(settings) == "http://127.0.0.1:8123"
    assert kept_key(settings) == "allot_kept"
    assert kept_key(Settings(data_dir=tmp_path / "nothing")) is None


def test_its_process_leaves_the_processor_to_the_service(tmp_path: Path) -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    with subprocess.Popen(
        [sys.executable, "-m", "actors", "console", "--port", str(free_port())],
        env=os.environ | {"ALLOTMENT_DATA_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        niceness = os.getpriority(os.PRIO_PROCESS, process.pid)
        process.terminate()

    assert "the console is on" in greeting
    assert niceness == min(ours + NICENESS, NICENESS_MAX)


@pytest.mark.parametrize(
    "options",
    [
        ["--host", "0.0.0.0"],
        ["--public-url", "ops.example"],
        ["--public-url", "https://ops.example/console"],
        ["--service", "ftp://here"],
    ],
)
def test_options_that_browsers_could_not_follow_are_refused(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["console", *options])

    assert result.exit_code in (1, 2)
