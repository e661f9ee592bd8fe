"""What charges and holds leave in the database: writes, bytes and index keys, by collection.

One shard decides for one user, whose commands to an embedded server are counted. *Alone*, the views are
written after each operation; *ten at once*, after ten. Bytes are of documents as BSON: of new ones, and of those
written again. Keys are those that indexes gain and lose. What goes later, when the journal is trimmed, is one
delete an entry, with the keys that the entry has.
"""

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, astuple, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import bson
from pymongo import monitoring
from pymongo.monitoring import CommandListener, CommandStartedEvent
from rich.console import Console
from rich.table import Table

from actors.embedded.keeper import EmbeddedMongo
from actors.mongo.accounts.store import MongoStore
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents, MongoWire
from actors.mongo.preparation import prepare
from actors.protocol.calls import Call, Envelope, Outcome, Reply
from actors.protocol.directory import even
from actors.shard.shard import Shard
from bench import machine
from bench.processes import BenchError
from bench.progress import track
from bench.users import user_id
from domain.holds import PlaceHold, SettleHold
from domain.messages import AddCredit, Command, RecordUsage
from domain.payments import Payment
from domain.values import Credits, Policy, UserId

COLLECTIONS = (
    *("allotment_journal", "allotment_accounts", "allotment_events"),
    *("subscriptions", "dailycredits", "usages"),
)
TOGETHER = 10
USER = UserId(user_id(0))
FACTS: dict[str, Any] = {
    "model_used": "small-1",
    "token_count": 1200,
    "session_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """What is in one collection: documents by their ids as BSON, and the keys of its indexes."""

    documents: dict[bytes, bytes]
    keys: frozenset[tuple[str, bytes]]

    @classmethod
    def of(cls, database: Documents, name: str) -> Self:
        """Read it. A partial index has the documents that its filter finds."""
        collection = database[name]
        documents = {_key(d, ["_id"]): bson.encode(d) for d in collection.find()}
        keys = set()
        for index in collection.list_indexes():
            fields = [*index["key"]]
            for document in collection.find(index.get("partialFilterExpression", {})):
                if not index.get("sparse") or any(field in document for field in fields):
                    keys.add((index["name"], _key(document, [*fields, "_id"])))
        return cls(documents, frozenset(keys))


def _key(document: Mapping[str, Any], fields: Sequence[str]) -> bytes:
    return bson.encode({field: document.get(field) for field in fields})


State = dict[str, Stored]


@dataclass(frozen=True, slots=True)
class Left:
    """What an operation leaves in one collection; of several operations the mean."""

    writes: float = 0.0
    """Documents inserted, updated or deleted."""
    new_bytes: float = 0.0
    rewritten_bytes: float = 0.0
    keys: float = 0.0


@dataclass
class Writes(CommandListener):
    """Counts the documents that commands write."""

    found: Counter[str] = field(default_factory=Counter)

    def started(self, event: CommandStartedEvent) -> None:
        parts = {"insert": "documents", "update": "updates", "delete": "deletes"}
        part = parts.get(event.command_name)
        if part is not None:
            self.found[event.command[event.command_name]] += len(event.command[part])

    def succeeded(self, event: object) -> None:
        pass

    def failed(self, event: object) -> None:
        pass


class OneUser:
    """A shard that one user's operations are put to, one after the other or several at once."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._number = 0

    async def charge(self, times: int) -> None:
        await self._do(RecordUsage(USER, "chat", Credits(1), **FACTS) for _ in range(times))

    async def hold_and_settle(self, times: int) -> None:
        placed = await self._do(PlaceHold(USER, "chat", Credits(2), **FACTS) for _ in range(times))
        names = [json.loads(reply.body or b"")["hold_id"] for reply in placed]
        await self._do(SettleHold(USER, name, Credits(1)) for name in names)

    async def add_credits(self, amount: int, days: int) -> None:
        payment = Payment("card", "t-1", 999, "eur")
        await self._do([AddCredit(USER, Credits(amount), days, payment)])

    async def settle(self) -> None:
        """Return once all is in the views."""
        await self._shard.settle()

    async def _do(self, commands: Iterable[Command]) -> list[Reply]:
        calls = []
        for command in commands:
            self._number += 1
            calls.append(Call(command, f"{self._number:032x}", keep_refusal=True))
        replies = await self._shard.handle(Envelope(self._shard.table.version, tuple(calls)))
        if any(reply.outcome is not Outcome.DONE for reply in replies):
            raise BenchError(f"an operation was not done: {replies}")
        return replies


OPERATIONS: dict[str, Callable[[OneUser, int], Any]] = {
    "a charge": OneUser.charge,
    "a hold and its settlement": OneUser.hold_and_settle,
}


def bench_storage(console: Console, file: Path | None) -> int:
    """Measure and print; return the exit code."""
    with (
        tempfile.TemporaryDirectory(prefix="ab-") as folder,
        EmbeddedMongo(Path(folder) / "mongo", wire=MongoWire()) as server,
    ):
        rows = asyncio.run(measured(server.uri, console))
    print_table(rows, console)
    facts = machine.facts()
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), highlight=False)
    if file:
        told = {name: {c: asdict(left) for c, left in row.items()} for name, row in rows.items()}
        file.write_text(json.dumps({"machine": facts, "rows": told}, indent=2) + "\n")
    return 0


async def measured(uri: str, console: Console) -> dict[str, dict[str, Left]]:
    """Return what each kind of operation leaves in each collection."""
    writes = Writes()
    monitoring.register(writes)  # For clients that are made from here on.
    database = connect(uri, "bench")
    prepare(database)
    rows = {}
    async with one_user(database) as user:
        await user.add_credits(1_000_000, 30)
        await user.charge(1)  # It opens the day.
        await user.settle()
        kinds = [(name, times) for name in OPERATIONS for times in (1, TOGETHER)]
        for name, times in track(console, kinds, lambda kind: f"{kind[0]}, {kind[1]} at once"):
            before = state(database)
            writes.found.clear()
            for _ in range(TOGETHER // times):
                await OPERATIONS[name](user, times)
                await user.settle()
            row = left(before, state(database), writes.found)
            rows[f"{name}, {'alone' if times == 1 else 'ten at once'}"] = row
    database.client.close()
    return rows


@asynccontextmanager
async def one_user(database: Documents) -> AsyncIterator[OneUser]:
    """Run a shard and its view writer."""
    store = MongoStore(database)
    store.take_over("shard-000")
    shard = Shard(
        0,
        store,
        Policy(),
        accounts_max=10,
        clock=lambda: datetime.now(UTC),
        table=even(1, 1),
    )
    parts = (shard.run(), shard.loads.run(), shard.views.run(shard.clean_until))
    loops = [asyncio.create_task(part) for part in parts]
    try:
        yield OneUser(shard)
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.wait(loops)


def state(database: Documents) -> State:
    """Return what is in the collections."""
    return {name: Stored.of(database, name) for name in COLLECTIONS}


def left(before: State, after: State, writes: Counter[str]) -> dict[str, Left]:
    """Return what one of TOGETHER operations has left in each collection."""
    row = {}
    for name in COLLECTIONS:
        was, now = before[name], after[name]
        new = [d for i, d in now.documents.items() if i not in was.documents]
        changed = [d for i, d in now.documents.items() if was.documents.get(i, d) != d]
        # Each that has changed has done so as often as the others.
        size = sum(map(len, changed)) / max(len(changed), 1)
        row[name] = Left(
            writes[name] / TOGETHER,
            sum(map(len, new)) / TOGETHER,
            (writes[name] - len(new)) * size / TOGETHER,
            len(was.keys ^ now.keys) / TOGETHER,
        )
    return row


def print_table(rows: dict[str, dict[str, Left]], console: Console) -> None:
    table = Table("operation", "collection", title="what one operation leaves in the database")
    for name in ("writes", "bytes, new", "bytes, written again", "index keys"):
        table.add_column(name, justify="right")
    for operation, row in rows.items():
        found = [(name, one) for name, one in row.items() if one.writes]
        for name, one in [*found, ("all", total(row.values()))]:
            sizes = (f"{one.new_bytes:,.0f}", f"{one.rewritten_bytes:,.0f}")
            table.add_row(operation, name, f"{one.writes:.1f}", *sizes, f"{one.keys:.1f}")
        table.add_section()
    console.print(table)


def total(lefts: Iterable[Left]) -> Left:
    found = [astuple(one) for one in lefts]
    return Left(*(sum(column) for column in zip(*found, strict=True)))
