"""What commands print: to people, to pipes, to machines; and how they end."""

import contextlib
import json
import re
import subprocess
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from actors.auth.api_keys import make_key
from actors.auth.caller import Scope
from actors.cli import keys, operator, readiness, terminal
from actors.cli.key_store import Kept
from actors.cli.keys import cells_of, key_row
from actors.cli.main import app
from actors.cli.stopping import Stopping
from actors.events.reports import EventsReport
from actors.protocol.reports import (
    RereadReport,
    ReshardReport,
    ShardReport,
    SweepReport,
    SyncReport,
)
from bench.processes import free_port
from tests.builders.authors import NOON
from tests.builders.examples import example
from tests.fakes.memory_audit import MemoryAudit
from tests.fakes.memory_keys import Keys

OURS = re.compile("\x1b\\[[0-9;?]*[A-Za-z]|\r")  # Colours, and how a bar is drawn anew.
ANSWERS: dict[str, Any] = {
    "/admin/shards": [example(ShardReport)],
    "/admin/sync": example(SyncReport),
    "/admin/events": example(EventsReport),
    "/admin/sweeps?job=sweep&limit=1": [example(SweepReport)],
    "/admin/validate": example(SweepReport),
    "/admin/reshard": example(ReshardReport) | {"running": False, "moved": 2560},
}


class Service:
    """A service that answers with examples."""

    def __init__(self, settings: object) -> None:
        pass

    def ask(self, method: str, path: str, body: object = None, **options: object) -> Any:
        if (method, path) == ("POST", "/admin/sync"):
            return example(RereadReport)
        return ANSWERS[path]


@pytest.fixture(autouse=True)
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "Service", Service)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("command", ["status", "sync", "validate", "reshard --shards 8"])
def test_machines_get_json_and_nothing_else(command: str) -> None:
    assert json.loads(run(*command.split(), "--json"))


def test_pipes_get_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert not terminal.out.is_terminal

    lines = run("status").splitlines()

    assert lines[0].split("\t")[:4] == ["shard", "node", "pid", "code"]
    assert lines[1].split("\t")[:3] == ["shard-000", "6f1e", "4242"]


@pytest.mark.parametrize("command", ["status", "validate"])
def test_indexes_that_no_sweep_can_mend_are_named(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = "subscriptions has the index user_1, which may refuse what Allotment writes"
    sweep = example(SweepReport) | {"index_problems": [problem]}
    monkeypatch.setitem(ANSWERS, "/admin/sweeps?job=sweep&limit=1", [sweep])
    monkeypatch.setitem(ANSWERS, "/admin/validate", sweep)

    lines = run(command).splitlines()

    assert [problem in line for line in lines if line.startswith("index problem")] == [True]


def test_nothing_moves_where_nobody_watches() -> None:
    assert "reading" not in run("sync", "--user", "ada")


def test_a_key_is_shown_without_its_secret() -> None:
    text, key = make_key("panel", Scope.READ, NOON)

    row = key_row(key)

    assert text not in json.dumps(row)
    assert key.hash not in json.dumps(row)
    assert cells_of(row)[-2:] == ("never", "in force")
    assert row["created_at"] == "2026-03-10T12:00:00Z"


def test_a_key_is_made_listed_and_revoked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Keys()
    audit = MemoryAudit()
    kept = contextlib.nullcontext(Kept(store, audit))
    monkeypatch.setattr(keys, "key_store", lambda _: kept)

    made = json.loads(run("keys", "create", "--scope", "read", "--name", "panel", "--json"))
    listed = json.loads(run("keys", "list", "--json"))
    revoked = json.loads(run("keys", "revoke", made["key_id"], "--json"))
    again = CliRunner().invoke(app, ["keys", "revoke", made["key_id"]])

    assert made.pop("key").startswith(made["prefix"])
    assert listed == [made]
    assert revoked["revoked_at"]
    assert again.exit_code == 1
    assert again.stdout == ""
    acts = [(act.action, act.target, act.made, str(act.outcome)) for act in audit.acts]
    assert acts == [
        ("keys create", None, made["key_id"], "done"),
        ("keys revoke", made["key_id"], None, "done"),
        ("keys revoke", made["key_id"], None, "refused"),
    ]
    assert {act.by.partition(":")[0] for act in audit.acts} == {"command"}


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\tb", "x" * 101])
def test_a_key_has_a_name_that_fits_into_a_line(name: str) -> None:
    done = CliRunner().invoke(app, ["keys", "create", "--scope", "read", "--name", name])

    assert done.exit_code == 2
    assert "printable" in done.output


def test_a_database_that_is_away_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOTMENT_MONGO_URI", f"mongodb://secret:word@127.0.0.1:{free_port()}/")

    done = CliRunner().invoke(app, ["keys", "list"])

    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert "word" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        (httpx.Response(503, json={"missing": ["database", "sync"]}), "database, sync"),
        (httpx.Response(503, text="<html>"), "HTTP"),
        (httpx.ConnectError("refused"), "HTTP"),
    ],
)
def test_a_start_that_takes_too_long_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: httpx.Response | httpx.HTTPError,
    missing: str,
) -> None:
    def get(*_: object, **__: object) -> httpx.Response:
        if isinstance(answer, httpx.HTTPError):
            raise answer
        return answer

    monkeypatch.setattr(readiness, "READY_SECONDS_MAX", 0.01)
    monkeypatch.setattr(httpx, "get", get)

    with pytest.raises(typer.Exit):
        readiness.wait_until_ready("http://127.0.0.1:9", Stopping())

    assert capsys.readouterr().err.endswith(f"seconds: {missing} is missing.\n")


def test_the_version_is_told_without_a_command() -> None:
    assert run("--version") == f"allotment {version('allotment')}\n"


def test_the_environment_is_printed_as_a_shell_takes_it() -> None:
    shell = 'eval "$0"; printf %s "$RAY_AUTH_MODE $RAY_health_check_failure_threshold"'
    done = subprocess.run(
        ["sh", "-c", shell, run("environment")], capture_output=True, text=True, check=True
    )

    assert done.stdout == "token 4"


def test_commands_for_a_cluster_say_that_no_service_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ALLOTMENT_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    ended = [CliRunner().invoke(app, line) for line in (["restart"], ["drain", "0abc"])]

    assert [one.exit_code for one in ended] == [1, 1]
    assert all("No service runs here" in " ".join(one.output.split()) for one in ended)


def test_help_names_every_command_and_the_exit_codes() -> None:
    printed = run("--help")

    assert all(
        name in printed
        for name in (
            *("up", "keys", "status", "sync", "validate", "reshard", "drain", "restart"),
            *("accept-clock", "anonymize", "adjust", "reverse"),
            "Exit codes",
        )
    )
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == 2


def test_a_change_of_the_number_of_shards_is_followed_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = example(ReshardReport)
    answers = iter([told, None, told | {"moved": 1280}, told | {"moved": 2560, "running": False}])
    monkeypatch.setattr(operator, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(Service, "ask", lambda *_, **__: next(answers))

    assert run("reshard", "--shards", "8") == "3 to 8 shards, 2560 of 2560 slots moved in 2.5s\n"


def test_another_change_that_runs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([None, example(ReshardReport)])
    monkeypatch.setattr(Service, "ask", lambda *_, **__: next(answers))

    refused = CliRunner().invoke(app, ["reshard", "--shards", "4"])

    assert refused.exit_code == 1
    assert "3 to 8 shards, 640 of 2560" in refused.stderr


@pytest.mark.parametrize("arguments", [[], ["--shards", "0"], ["--shards", "257"]])
def test_a_number_of_shards_that_cannot_be_is_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["reshard", *arguments]).exit_code == 2


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """Return what a person would see: a console that takes itself for a terminal."""
    written = StringIO()
    for name in ("out", "errors"):
        console = terminal.PlainConsole()
        console.file, console._force_terminal, console.width = written, True, 200
        monkeypatch.setattr(terminal, name, console)
    return written


NASTY = [
    "[/x]oops",
    "[bold]loud[/bold]",
    "[red",
    "[link=https://evil.example]x[/link]",
    ":smile:",
    "\x1b[2J\x1b]0;title\x07",
    "a\u202eb",
    "\x9b31m",
    "\r\b\x7f",
    "org/[ada]",
    "\ud800",
]


@pytest.mark.parametrize("text", NASTY)
def test_no_name_breaks_a_table_or_moves_a_terminal(screen: StringIO, text: str) -> None:
    terminal.print_table(("id", "name"), [("1", text)])
    terminal.out.print(f"the account of {text}")
    with pytest.raises(typer.Exit):
        terminal.fail(f"There is no key {text} in force.")
    with terminal.working(f"reading {text} anew"), terminal.progress_bar(text, 2) as show:
        show(1)

    seen = OURS.sub("", screen.getvalue())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", seen)
    said = terminal.printable(text)
    assert seen.count(said) >= 3, seen


@pytest.mark.parametrize("text", [*NASTY, "two\nlines", "a\tb"])
def test_a_name_stays_in_its_line_in_pipes(capsys: pytest.CaptureFixture[str], text: str) -> None:
    terminal.print_table(("id", "name"), [("1", text)])

    _, row = capsys.readouterr().out.splitlines()
    assert row == f"1\t{terminal.one_line(text)}"


def test_texts_of_ours_are_shown_as_they_are() -> None:
    assert terminal.printable("ü 日本 🙂 [x] :a:\n") == "ü 日本 🙂 [x] :a:\n"
