"""`allotment status --watch`: what it shows, to whom, and that nothing but Ctrl-C ends it."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from actors.cli import watch
from actors.cli.main import app
from actors.cli.terminal import PlainConsole
from actors.console.figures import Figures, look
from actors.console.rates import COUNTED, Rates
from actors.console.service import Service, connected
from tests.builders.authors import NOON
from tests.fakes.http_service import ADMIN_KEY, EXAMPLES, NOWHERE, HttpService

SHARD = EXAMPLES["ShardReport"]
SECONDS = 30.0  # Between two looks of a test.


def seen(service: HttpService, *then: Callable[[HttpService], None]) -> Figures:
    """Return the last of looks at a service to which something happens between them."""

    async def looks() -> Figures:
        rates = Rates()
        async with connected(NOWHERE, service.transport) as asked:
            figures = await look(asked, ADMIN_KEY, rates, 0.0)
            for count, change in enumerate(then, 1):
                change(service)
                figures = await look(asked, ADMIN_KEY, rates, count * SECONDS)
        return figures

    return asyncio.run(looks())


def work(service: HttpService) -> None:
    counted = {"charges": 50, "credits_charged": 4000, "refusals": 5, "writes": 60, "reads": 100}
    service.answers["GET", "/admin/shards"] = [
        SHARD | {name: SHARD.get(name, 0) + increase for name, increase in counted.items()}
    ]


def restart(service: HttpService) -> None:
    service.answers["GET", "/admin/shards"] = [SHARD | dict.fromkeys(COUNTED, 0)]


def go(service: HttpService) -> None:
    service.is_away = True


def come(service: HttpService) -> None:
    service.is_away = False


def on_terminal(figures: Figures | None, waited: float = 0.0, width: int = 120) -> str:
    terminal = PlainConsole()
    terminal.width = width
    with terminal.capture() as printed:
        terminal.print(watch.picture(NOWHERE, figures, NOON, waited))
    return printed.get()


def test_a_terminal_sees_rates_levels_what_waits_and_the_state_in_words() -> None:
    text = on_terminal(seen(HttpService(), work))

    words = " ".join(text.split())
    for shown in (
        "Every part of the service answers.",
        *("charges 100", "credits 8 000", "refusals 10", "writes 120", "statuses 200"),
        *("users 5 000", "drift 0 %", "RAM 0.4 s", "dead letters 0", "shards 1", "shard-000"),
    ):
        assert shown in words
    assert "\\u" not in text


def test_a_narrow_terminal_loses_no_figure() -> None:
    words = " ".join(on_terminal(seen(HttpService(), work), width=40).split())

    assert "credits 8 000" in words
    assert "dead letters 0" in words


@pytest.mark.parametrize("width", [40, 120])
def test_what_a_service_says_moves_no_cursor(width: int) -> None:
    service = HttpService()
    service.answers["GET", "/readyz"] = httpx.Response(503, json={"missing": ["\x1b[2J"]})
    service.answers["GET", "/admin/shards"] = [SHARD | {"shard": "\x1b[2J", "stale": True}]

    assert "\x1b" not in on_terminal(seen(service), width=width)


def test_what_an_operator_should_know_is_told_in_sentences() -> None:
    service = HttpService()
    service.answers["GET", "/readyz"] = httpx.Response(503, json={"missing": ["database"]})
    service.answers["GET", "/admin/shards"] = [SHARD | {"stale": True}]
    down = EXAMPLES["EventsReport"]["endpoints"][0] | {"endpoint": "crm", "healthy": False}
    service.answers["GET", "/admin/events"] = EXAMPLES["EventsReport"] | {"endpoints": [down]}
    service.answers["GET", "/admin/reshard"] = EXAMPLES["ReshardReport"] | {"running": True}

    text = on_terminal(seen(service))

    for sentence in (
        "The database does not answer.",
        "shard-000: hears of no changes",
        "Down: crm.",
        "The number of shards changes: 640 of 2560 slots moved.",
    ):
        assert sentence in text


def test_the_service_may_be_away_and_come_back() -> None:
    service = HttpService()

    gone = on_terminal(seen(service, go))
    back = watch.row_of(seen(service, come, go, restart, come, work), NOON)

    assert "The service does not answer." in gone
    assert back["state"] == "Every part of the service answers."
    assert back["charges_a_minute"] is not None
    assert back["charges_a_minute"] > 0


def test_a_part_that_is_away_is_a_dash() -> None:
    service = HttpService()
    for path in ("/admin/sync", "/admin/sweeps", "/admin/events", "/admin/reshard"):
        service.answers["GET", path] = httpx.Response(503, json={})

    row = watch.row_of(seen(service), NOON)

    assert row["users_in_ram"] == 5000
    for name in ("drift", "lag_seconds", "undelivered_events", "charges_a_minute"):
        assert watch.cell(row[name]) == "-"


@pytest.mark.parametrize("is_first", [True, False])
def test_a_late_answer_is_said_to_be_late(is_first: bool) -> None:
    shown: list[tuple[bool, float]] = []
    figures = seen(HttpService())

    async def watching() -> None:
        looks = 0
        late: asyncio.Future[Figures] = asyncio.get_running_loop().create_future()

        async def look_once() -> Figures:
            nonlocal looks
            looks += 1
            return await late if is_first or looks > 1 else figures

        def show(seen: Figures | None, waited: float) -> None:
            shown.append((seen is not None, waited))
            if waited > 0:
                late.cancel()

        clock = asyncio.get_running_loop().time
        with pytest.raises(asyncio.CancelledError):
            await watch.look_forever(look_once, show, 0.01, clock)

    asyncio.run(watching())

    assert shown[-1][0] is False
    assert shown[-1][1] > 0
    assert len(shown) == (1 if is_first else 2)
    assert "No answer for 3 s." in on_terminal(None, 3.0)
    assert "No answer for 3 s; this is what was seen before." in on_terminal(figures, 3.0)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HttpService:
    """Return a service that the command finds, and whose key is kept where it looks."""
    found = HttpService()
    (tmp_path / "admin.key").write_text(ADMIN_KEY + "\n")
    monkeypatch.setenv("ALLOTMENT_DATA_DIR", str(tmp_path))

    def connected_here(_address: str) -> AbstractAsyncContextManager[Service]:
        return connected(NOWHERE, found.transport)

    monkeypatch.setattr(watch, "connected", connected_here)
    return found


def interrupt_after(looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C once so many looks were shown."""
    counted = 0
    lines = watch.lines

    def counting(*, as_json: bool) -> watch.Show:
        show = lines(as_json=as_json)

        def count(figures: Figures | None, waited: float) -> None:
            nonlocal counted
            show(figures, waited)
            counted += 1
            if counted == looks:
                raise KeyboardInterrupt

        return count

    monkeypatch.setattr(watch, "lines", counting)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["status", "--watch", "--interval", "0.2", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_pipe_gets_the_columns_once_and_a_line_a_look(
    service: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(3, monkeypatch)

    header, *rows = (line.split("\t") for line in run().splitlines())

    assert header[:2] == ["at", "charges_a_minute"]
    assert len(rows) == 3
    for row in rows:
        told: dict[str, str] = dict(zip(header, row, strict=True))
        assert told["users_in_ram"] == "5000"
        assert told["state"] == "Every part of the service answers."


def test_machines_get_an_object_a_line(
    service: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(2, monkeypatch)

    rows: list[dict[str, Any]] = [json.loads(line) for line in run("--json").splitlines()]

    assert [row["shards"] for row in rows] == [1, 1]
    assert rows[0]["charges_a_minute"] is None
    assert rows[1]["charges_a_minute"] == 0


def test_a_service_that_is_away_from_the_beginning_is_waited_for(
    service: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.is_away = True
    interrupt_after(2, monkeypatch)

    assert run().count("The service does not answer.") == 2


def test_a_key_that_is_not_known_ends_it_with_a_sentence(service: HttpService) -> None:
    service.revoked.add(ADMIN_KEY)

    result = CliRunner().invoke(app, ["status", "--watch"])

    assert result.exit_code == 1
    assert "The key is not known" in result.output


def test_without_the_first_key_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ALLOTMENT_DATA_DIR", str(tmp_path))

    result = CliRunner().invoke(app, ["status", "--watch"])

    assert result.exit_code == 1
    assert "allotment up" in result.output


def test_it_does_not_look_all_the_time() -> None:
    assert CliRunner().invoke(app, ["status", "--watch", "--interval", "0"]).exit_code == 2
