"""A database that a newer version has: whatever of ours runs or begins writes nothing into it."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
from pydantic import SecretStr
from typer.testing import CliRunner

import actors
from actors import launch
from actors.cli.main import app
from actors.mongo import connection
from actors.mongo.directory import MongoDirectory
from actors.mongo.embedded_wire import Documents
from actors.mongo.preparation import prepare
from actors.mongo.prices import MongoPrices
from actors.mongo.stored_format import FORMAT, MongoFormats
from actors.protocol.directory import even
from actors.protocol.queries import HistoryQuery
from actors.protocol.store import UnsuitableDatabaseError
from actors.remote import process
from actors.remote.events import EventActor
from actors.remote.janitor import JanitorActor
from actors.remote.lists import ListsActor
from actors.remote.names import EVENTS, JANITOR, LISTS, STRIPE, SYNC_NAME
from actors.remote.stripe import StripeActor
from actors.remote.sync import SyncActor
from actors.runtime import format_watch
from actors.runtime.format_watch import FormatWatch
from actors.settings import Settings
from domain.values import UserId
from tests.builders.databases import everything
from tests.fakes.shards import in_loop, until

MODULES = (launch, process)
SENTENCE = f"newer version of Allotment (format {FORMAT + 1}, this one knows {FORMAT})"
ACTORS: dict[str, type[Any]] = {
    SYNC_NAME: SyncActor,
    STRIPE: StripeActor,
    JANITOR: JanitorActor,
    EVENTS: EventActor,
    LISTS: ListsActor,
}
QUESTIONS: dict[str, tuple[str, Callable[[Any], Awaitable[Any]]]] = {
    "a sweep": (JANITOR, lambda a: a.validate(repair=True)),
    "expiries": (JANITOR, lambda a: a.expire()),
    "a comparison with Stripe": (JANITOR, lambda a: a.reconcile()),
    "another number of shards": (JANITOR, lambda a: a.reshard(2)),
    "a redelivery": (EVENTS, lambda a: a.redeliver("ann 1 0")),
    "a list": (LISTS, lambda a: a.read(HistoryQuery(UserId("ann"), 1, None), b"{}")),
}


@pytest.fixture
def prepared(database: Documents) -> Documents:
    """Return a database of this version, with a table of one shard."""
    prepare(database)
    assert MongoDirectory(database).publish(even(1, 1))
    return database


def make_newer(database: Documents) -> dict[str, list[Any]]:
    """Let a newer version begin with a database, and return what is in it."""
    database.allotment_format.update_one({}, {"$set": {"version": FORMAT + 1}})
    return everything(database)


@pytest.fixture
def settings(prepared: Documents, mongo_uri: str) -> Settings:
    return Settings(
        mongo_uri=SecretStr(mongo_uri),
        mongo_db=prepared.name,
        stripe_api_key=SecretStr("sk_test_none"),
    )


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no actor be found, and Ray not be started for it."""

    def nobody(name: str, **_: object) -> None:
        raise ValueError(f"no actor has the name {name}")

    def never(*_: object, **__: object) -> None:
        raise ValueError("a unit starts no Ray")

    monkeypatch.setattr(ray, "get_actor", nobody)
    monkeypatch.setattr(ray, "init", never)


@pytest.fixture(autouse=True)
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what actors connect: their processes end with them."""
    made: list[Documents] = []

    def connect(*arguments: Any, **options: Any) -> Documents:
        made.append(connection.connect(*arguments, **options))
        return made[-1]

    for module in MODULES:
        monkeypatch.setattr(module, "connect", connect)
    yield
    for database in made:
        database.client.close()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return with which codes the process has wanted to end."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(format_watch, "LOOK_SECONDS", 0.02)
    return codes


@asynccontextmanager
async def actor(name: str, settings: Settings) -> AsyncIterator[Any]:
    """Yield an actor as Ray would make it, in this loop."""
    made: Any = object.__new__(ACTORS[name])
    await made.__init__(settings)
    try:
        yield made
    finally:
        await made._loops.stop()


@in_loop
async def test_who_goes_on_is_told_why_nothing_may_be_written_and_when_it_may_again(
    prepared: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(format_watch, "LOOK_SECONDS", 0.01)
    told: list[str] = []
    watch = FormatWatch("http", MongoFormats(prepared))
    following = asyncio.create_task(watch.follow(told.append))

    await until(lambda: told == [""] * len(told) != [])
    make_newer(prepared)
    await until(lambda: told[-1] and SENTENCE in told[-1])
    prepared.allotment_format.update_one({}, {"$set": {"version": FORMAT}})
    await until(lambda: told[-1] == "")
    following.cancel()
    await asyncio.wait([following])

    seen = [one for n, one in enumerate(told) if n == 0 or told[n - 1] != one]
    assert [bool(one) for one in seen] == [False, True, False]


@pytest.mark.parametrize("name", ACTORS)
@in_loop
async def test_an_actor_that_begins_writes_nothing(
    settings: Settings, prepared: Documents, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    before = make_newer(prepared)
    with caplog.at_level(logging.ERROR):
        async with actor(name, settings):
            await until(lambda: SENTENCE in caplog.text)

    assert everything(prepared) == before


@pytest.mark.parametrize("question", QUESTIONS)
@in_loop
async def test_an_actor_that_is_asked_refuses_and_writes_nothing(
    settings: Settings, prepared: Documents, question: str
) -> None:
    before = make_newer(prepared)
    name, ask = QUESTIONS[question]
    async with actor(name, settings) as asked:
        with pytest.raises(UnsuitableDatabaseError, match="newer version"):
            await ask(asked)

    assert everything(prepared) == before


@pytest.mark.parametrize("name", ACTORS)
@in_loop
async def test_an_actor_that_runs_ends(
    settings: Settings,
    prepared: Documents,
    ended: list[int],
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    async with actor(name, settings) as running:
        await running._loops._watch.ready()
        make_newer(prepared)
        await until(lambda: ended)

    assert f"{name} ends: This database was written by a {SENTENCE}" in caplog.text


COMMANDS = [
    ["keys", "create", "--scope", "read", "--name", "panel"],
    ["keys", "list"],
    ["keys", "revoke", "0000"],
    ["accept-clock"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_writes_nothing_and_says_why(
    prepared: Documents, mongo_uri: str, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    before = make_newer(prepared)
    monkeypatch.setenv("ALLOTMENT_MONGO_URI", mongo_uri)
    monkeypatch.setenv("ALLOTMENT_MONGO_DB", prepared.name)
    monkeypatch.setenv("COLUMNS", "300")

    done = CliRunner().invoke(app, command)

    assert (done.exit_code, SENTENCE in done.output) == (1, True), done.output
    assert everything(prepared) == before


def test_a_start_and_a_price_list_are_refused(
    settings: Settings, prepared: Documents, mongo_uri: str
) -> None:
    before = make_newer(prepared)

    with pytest.raises(UnsuitableDatabaseError, match="newer version"):
        launch.prepare_database(settings, mongo_uri, print)
    with pytest.raises(UnsuitableDatabaseError, match="newer version"):
        MongoPrices(prepared).keep("")

    assert everything(prepared) == before


def test_every_actor_is_here() -> None:
    sources = (p.read_text() for p in Path(actors.__file__).parent.glob("remote/*.py"))
    known = {
        name for text in sources for name in re.findall(r"^class (\w+Actor)\b", text, re.MULTILINE)
    }

    assert known - {"SupervisorActor", "ShardActor"} == {kind.__name__ for kind in ACTORS.values()}
