"""Entries as a shard would make them, without a shard."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from actors.protocol.store import Store
from domain.account import Account
from domain.api.render import answer_text
from domain.charges import OnInsufficient, UsageRecorded
from domain.decide import decide
from domain.documents.recovery import Stored, recover
from domain.documents.views import AccountViews, project
from domain.event_rules import enter
from domain.fingerprints import fingerprint
from domain.messages import (
    AddCredit,
    Command,
    CommandRefused,
    Entry,
    OpenDay,
    RecordUsage,
    Refusal,
)
from domain.pack_messages import AddPack
from domain.payments import Payment
from domain.values import Credits, Policy, UserId

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
POLICY = Policy()


def add_credit(
    user_id: str, amount: int = 3000, days: int = 30, transaction: str = "t-1", **fields: Any
) -> AddCredit:
    payment = Payment("card", transaction, 999, "eur")
    return AddCredit(UserId(user_id), Credits(amount), days, payment, **fields)


def add_pack(user_id: str, amount: int = 1000, transaction: str = "p-1", **fields: Any) -> AddPack:
    payment = Payment("card", transaction, 999, "eur")
    return AddPack(UserId(user_id), Credits(amount), payment, **fields)


def use(
    user_id: str, amount: int, *, record: bool = False, at: datetime | None = None
) -> RecordUsage:
    on_insufficient = OnInsufficient.RECORD if record else OnInsufficient.REJECT
    return RecordUsage(
        UserId(user_id),
        "chat",
        Credits(amount),
        token_count=7,
        model_used="m-1",
        session_id="s-1",
        details='{"answer": {"deep": [1, 2.5, null]}}',
        timestamp=at,
        on_insufficient=on_insufficient,
    )


def usage_id_of(entry: Entry) -> str:
    """Return the id of the record that an entry makes, which is a charge."""
    assert isinstance(entry.change, UsageRecorded)
    return entry.change.usage_id


class Author:
    """Decides one user's commands, one after the other, and keeps nothing else."""

    def __init__(self, user_id: str, now: datetime = NOON, policy: Policy = POLICY) -> None:
        self.account = Account(UserId(user_id))
        self.now = now
        self.policy = policy

    @classmethod
    def of(cls, stored: Stored, now: datetime = NOON) -> "Author":
        author = cls(stored.user_id, now)
        author.account = recover(stored, now, POLICY).account
        return author

    def do(self, command: Command, key: str | None = None) -> Entry:
        key = key or f"key-{self.account.seq + 1}"
        decision = decide(self.account, command, key, self.now, self.policy)
        assert decision is not None, "the command changes something"
        change = CommandRefused(decision) if isinstance(decision, Refusal) else decision
        user_id, seq = self.account.user_id, self.account.seq + 1
        entry = Entry(user_id, seq, self.now, key, fingerprint(command), change, None)
        entry, self.account = enter(self.account, entry, self.policy)
        if not isinstance(change, CommandRefused):
            entry = replace(entry, answer=answer_text(self.account, entry, self.policy))
        return entry

    def add(self, amount: int = 3000, days: int = 30, transaction: str = "t-1") -> Entry:
        return self.do(add_credit(self.account.user_id, amount, days, transaction))

    def use(self, amount: int, *, record: bool = False, at: datetime | None = None) -> Entry:
        return self.do(use(self.account.user_id, amount, record=record, at=at))

    def use_often(self, times: int) -> list[Entry]:
        return [self.use(0) for _ in range(times)]

    def open_day(self) -> Entry:
        return self.do(OpenDay(self.account.user_id))


def views_of(*entries: Entry) -> list[AccountViews]:
    """Return the views of entries, account by account."""
    users = dict.fromkeys(entry.user_id for entry in entries)
    return [project([e for e in entries if e.user_id == user_id]) for user_id in users]


def write(store: Store, entries: Iterable[Entry]) -> None:
    """Append entries and write their views."""
    known = list(entries)
    store.append(known)
    store.write_views(views_of(*known))
