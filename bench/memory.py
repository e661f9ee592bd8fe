"""How much RAM a resident account takes, on top of an empty shard. No Ray, no database.

Accounts come to be as they do in the service: `Shard` loads documents that went through BSON,
so that no two accounts share a string that they would not share there. Every user has one
active subscription, with one grant of a payment, and has used credits today. *All* is what the process
grows by, tables and the allocator's rounding included.
"""

import asyncio
import dataclasses
import gc
import json
import resource
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
from bson import CodecOptions, Int64, ObjectId
from rich.console import Console
from rich.table import Table

from actors.mongo.references import References, with_ids_spelled
from actors.protocol.directory import even
from actors.protocol.store import Moment
from actors.shard.awake import WHOLE_MAX
from actors.shard.inbox import Work
from actors.shard.packing import packed
from actors.shard.shard import Shard
from bench import machine
from bench.progress import track
from bench.users import user_id
from domain.account import Account
from domain.documents.recovery import Stored
from domain.documents.views import AccountViews
from domain.local_days import ONE_DAY, midnight
from domain.messages import Entry
from domain.recalls import NOTHING_BESIDE, Recalls
from domain.values import Policy, UserId, derive_owned_id

BYTES_MAX = 1536  # What the project promises: 1.5 KB.
BATCH = 1_000
WARM_UP_ACCOUNTS = 1_000  # Loaded and forgotten first: what Python needs once is not an account's.
SAMPLE = 2_000  # Accounts looked into for the breakdown.
AS_PYMONGO: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)


class FakeStore:
    """Returns documents as MongoDB would; `Shard` asks it for nothing else here."""

    def load(
        self, user_ids: Sequence[UserId], now: datetime, recalls: Recalls = NOTHING_BESIDE
    ) -> list[Stored]:
        assert not recalls.usages
        return [stored(user_id, now) for user_id in user_ids]

    def hear(self, moment: Moment) -> None:
        raise NotImplementedError

    def append(self, entries: Sequence[Entry]) -> None:
        raise NotImplementedError

    def find_entries(self, commands: Sequence[tuple[UserId, str]]) -> list[Entry]:
        raise NotImplementedError

    def write_views(self, views: Sequence[AccountViews]) -> None:
        raise NotImplementedError

    def appended_since(self, since: datetime, until: datetime) -> set[UserId]:
        raise NotImplementedError

    def clean_until(self) -> datetime | None:
        raise NotImplementedError

    def mark_clean(self, shard: str, until: datetime) -> None:
        raise NotImplementedError


Document = dict[str, Any]


def stored(user_id: UserId, now: datetime) -> Stored:
    """Return what is read of a user."""
    subscription, days = documents(user_id, now)
    read = References([subscription["_id"]]).read(days)
    return Stored(user_id, 5, [with_ids_spelled(subscription)], list(read))


def documents(user_id: UserId, now: datetime) -> tuple[Document, list[Document]]:
    """Return what the database holds of a user: a subscription and its days."""
    began = now - timedelta(days=3)
    subscription_id = ObjectId(derive_owned_id(began, "subscription", user_id, "key"))
    subscription = {
        "_id": subscription_id,
        "user_id": ObjectId(user_id),
        "start_date": began,
        "end_date": midnight(began.date() + 30 * ONE_DAY, "UTC"),
        "total_credits": Int64(3000),
        "system_portion": Int64(300),
        "spendable_credits": Int64(2700),
        "status": "active",
        "timezone": "UTC",
        "grants": [
            {
                "grant_id": ObjectId(),
                "amount": Int64(3000),
                "system_portion": Int64(300),
                "spendable_credits": Int64(2700),
                "from_day": began.date().isoformat(),
                "days": 30,
                "payment": {"method": "card", "transaction_id": f"pi_{subscription_id}"},
            }
        ],
        "applied_seq": Int64(5),
    }
    days = [
        {
            "_id": ObjectId(derive_owned_id(now - age * ONE_DAY, "day", user_id, "key")),
            "subscription_id": subscription_id,
            "date": midnight(now.date() - age * ONE_DAY, "UTC"),
            "credits_used": Int64(30 + age),
            "applied_seq": Int64(5 - age),
        }
        for age in range(3)
    ]
    return through_bson(subscription), list(map(through_bson, days))


def through_bson(document: Document) -> Document:
    """Return the document as pymongo hands it out."""
    return bson.decode(bson.encode(document), AS_PYMONGO)


async def fill(shard: Shard, users: Sequence[range], label: str, console: Console) -> None:
    """Load accounts as the shard's loop does, batch by batch."""
    loop = asyncio.get_running_loop()
    for part in track(console, users, lambda _: label):
        batch = [
            Work(UserId(user_id(index)), None, loop.create_future(), loop.time()) for index in part
        ]
        await shard._load_missing(batch, {})  # noqa: SLF001 - the loading alone is measured


def empty_shard(accounts: int) -> Shard:
    """Return a shard that owns all users."""
    return Shard(
        0,
        FakeStore(),
        Policy(),
        accounts_max=accounts,
        clock=lambda: datetime.now(UTC),
        table=even(1, 1),
    )


def resident_bytes() -> int:
    """Return how much RAM this process holds, garbage aside."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # Not Linux: the most it ever held.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize()


def parts(accounts: int) -> list[range]:
    """Return the users in the batches in which they are loaded."""
    return [range(n, min(n + BATCH, accounts)) for n in range(0, accounts, BATCH)]


async def measure(accounts: int, console: Console) -> tuple[float, Shard]:
    """Return the bytes an account takes, and the shard that holds them."""
    await fill(empty_shard(accounts), parts(WARM_UP_ACCOUNTS), "warming up", console)
    shard = empty_shard(accounts)
    before = resident_bytes()
    await fill(shard, parts(accounts), f"loading {accounts:,} accounts", console)
    after = resident_bytes()
    held = shard.accounts
    assert len(held) == accounts, "every account is resident"
    assert all(a.subscriptions and a.subscriptions[0].day for a in held.values()), "and in use"
    return (after - before) / accounts, shard


def breakdown(accounts: Sequence[Account]) -> Counter[str]:
    """Return bytes by class over some accounts, what they share counted once."""
    sizes: Counter[str] = Counter()
    seen: set[int] = set()
    for account in accounts:
        for part in parts_of(account):
            if id(part) not in seen:
                seen.add(id(part))
                sizes[type(part).__name__] += sys.getsizeof(part)
    return sizes


def parts_of(value: object) -> Iterator[object]:
    """Yield an object and everything it holds."""
    yield value
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from parts_of(getattr(value, field.name))
    elif isinstance(value, tuple | frozenset):
        for item in value:
            yield from parts_of(item)


def bench_memory(accounts: int, console: Console, file: Path | None) -> int:
    """Measure and print; return the exit code."""
    per_account, shard = asyncio.run(measure(accounts, console))
    sample = list(shard.accounts.values())[-SAMPLE:]
    sizes = {name: size / len(sample) for name, size in breakdown(sample).most_common()}
    kinds = {
        f"whole, the {WHOLE_MAX:,} used last": sum(sizes.values()),
        "packed, the others": sum(sys.getsizeof(packed(a)) for a in sample) / len(sample),
    }
    table = Table("part", title=f"RAM of one account, {accounts:,} in one shard")
    table.add_column("bytes", justify="right")
    for part in (sizes, kinds):
        for name, size in part.items():
            table.add_row(name, f"{size:.0f}")
        table.add_section()
    verdict = "[green]meets[/green]" if per_account <= BYTES_MAX else "[red]misses[/red]"
    table.add_row(f"all (target <= {BYTES_MAX}) {verdict}", f"{per_account:.0f}")
    console.print(table)
    facts = machine.facts()
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), highlight=False)
    if file:
        numbers = {"machine": facts, "bytes_per_account": per_account, "breakdown": sizes | kinds}
        file.write_text(json.dumps(numbers, indent=2) + "\n")
    return 0
