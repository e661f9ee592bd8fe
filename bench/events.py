"""What it costs a charge that events are looked for. No Ray, no database.

Every charge goes through `Draft.decide`, as in a shard; then `detect` alone sees the same accounts
before and after it. Processor time of this process, median over the rounds.
"""

import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bson import Int64, ObjectId
from rich.console import Console
from rich.table import Table

from actors.protocol.calls import Call, Outcome
from actors.shard.draft import Draft
from bench import machine
from bench.memory import stored, through_bson
from bench.progress import track
from bench.users import user_id
from domain.account import Account
from domain.documents.recovery import recover
from domain.event_rules import detect
from domain.local_days import ONE_DAY, midnight
from domain.messages import RecordUsage
from domain.values import Credits, Policy, UserId, derive_owned_id

POLICY = Policy()
USERS = 1_000
ROUNDS = 15
CASES = (
    ("tells nothing, 3 days of use", 3, 1),
    ("tells nothing, 30 days of use", 30, 1),
    ("crosses the line", 3, 230),
)
"""A charge, how many days its user has used, and its credits."""
GIVEN = {"system_portion": Int64(600), "spendable_credits": Int64(5400)}  # 90 a day, 60 days.


def account(index: int, days: int, now: datetime) -> Account:
    """Return a user with a use on so many days, as a shard loads it."""
    found = stored(UserId(user_id(index)), now)
    began = now - timedelta(days=days)
    (subscription,) = (dict(document) for document in found.subscriptions)
    subscription |= GIVEN | {"total_credits": Int64(6000), "start_date": began}
    subscription["end_date"] = midnight(began.date() + 60 * ONE_DAY, "UTC")
    first_day = began.date().isoformat()
    subscription["grants"][0] |= GIVEN | {"amount": Int64(6000), "days": 60, "from_day": first_day}
    used = [
        through_bson(
            {
                "_id": ObjectId(derive_owned_id(began, "day", found.user_id, str(age))),
                "subscription_id": subscription["_id"],
                "date": midnight(now.date() - age * ONE_DAY, "UTC"),
                "credits_used": Int64(30 + age % 7),
                "applied_seq": Int64(5),
            }
        )
        for age in range(days)
    ]
    found = type(found)(found.user_id, found.applied_seq, [subscription], used)
    return recover(found, now, POLICY).account


def measure(accounts: Sequence[Account], credits_: int, now: datetime) -> tuple[float, float, int]:
    """Return microseconds of a decision, of detection alone, and how many events were told."""
    by_user = {one.user_id: one for one in accounts}
    draft = Draft(by_user, {}, now, POLICY)
    calls = [
        Call(RecordUsage(one.user_id, "chat", Credits(credits_)), "key", keep_refusal=True)
        for one in accounts
    ]
    began = time.process_time()
    replies = [draft.decide(call) for call in calls]
    decided = time.process_time() - began
    assert all(reply.outcome is Outcome.DONE for reply in replies), "every charge is covered"
    pairs = [(one, draft.accounts[one.user_id]) for one in accounts]
    began = time.process_time()
    told = [tuple(detect(before, after, now, POLICY)) for before, after in pairs]
    detected = time.process_time() - began
    per_call = 1e6 / len(calls)
    return decided * per_call, detected * per_call, sum(map(len, told))


def bench_events(console: Console) -> int:
    """Measure and print; return the exit code."""
    now = datetime.now(UTC)
    users = {
        days: [account(index, days, now) for index in range(USERS)]
        for days in {days for _, days, _ in CASES}
    }
    rounds: dict[str, list[tuple[float, float, int]]] = {name: [] for name, _, _ in CASES}
    for _ in track(console, range(ROUNDS), lambda _: "charging"):
        for name, days, credits_ in CASES:  # In turn: a busy machine slows all of them.
            rounds[name].append(measure(users[days], credits_, now))
    table = Table("a charge that", title=f"looking for events, {USERS:,} charges a round")
    for column in ("events a charge", "deciding it, µs", "of it looking for events, µs", "share"):
        table.add_column(column, justify="right")
    for name, measured in rounds.items():
        decided, detected = (statistics.median(one[n] for one in measured) for n in (0, 1))
        share = f"{detected / decided:.0%}"
        told = f"{measured[0][2] / USERS:.0f}"
        table.add_row(name, told, f"{decided:.1f}", f"{detected:.1f}", share)
    console.print(table)
    facts = machine.facts()
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), highlight=False)
    return 0
