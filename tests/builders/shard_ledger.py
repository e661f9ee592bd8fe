"""A ledger that keeps and recalls as a shard does, with documents that lag behind its journal."""

from dataclasses import dataclass, field
from datetime import datetime

from domain.decide import Decision
from domain.documents.recovery import Recovered, recover
from domain.holds import ExpireHold, ReleaseHold, SettleHold
from domain.messages import Command
from domain.recalls import Recalls, recalls
from domain.retention import keep_what_matters
from domain.values import Policy
from tests.builders.ledger import ALL_SPENDABLE, USER, Ledger
from tests.fakes.database import Database


@dataclass
class ShardLedger(Ledger):
    """Its account is what RAM has; its journal and documents are what MongoDB has."""

    database: Database = field(default_factory=lambda: Database(USER))

    def do(self, command: Command, now: datetime) -> Decision:
        recalled = recalls(command, self.account)
        if recalled is not None:
            self.account = self.load(now, recalled).account
        if isinstance(command, SettleHold | ReleaseHold):
            self._write_expiry(command.hold_id, now)
        self.asked += 1
        decision = self.decide(command, f"key {self.asked}", self.account, now)
        self.account = keep_what_matters(self.account, now)
        return decision

    def _write_expiry(self, hold_id: str, now: datetime) -> None:
        found = self.account.find_hold(hold_id)
        if found is not None and found.over_at(now) <= now:
            self.asked += 1
            self.decide(ExpireHold(USER, hold_id), f"key {self.asked}", self.account, now)

    def write(self, upto: int | None = None) -> None:
        """Let the documents have the journal, up to an entry's number."""
        lagging = self.entries[self.database.applied_seq : upto]
        self.database.apply(lagging)

    def load(self, now: datetime, recalled: Recalls | None = None) -> Recovered:
        """Return the account as documents and the entries that they lack make it."""
        lagging = self.entries[self.database.applied_seq :]
        stored = self.database.stored(lagging, recalled or Recalls())
        return recover(stored, now, self.policy, recalled)


def shard_ledger(
    daily: int, days: int, now: datetime, policy: Policy = ALL_SPENDABLE
) -> ShardLedger:
    """Begin a subscription that gives `daily` on each of its days."""
    ledger = ShardLedger(policy)
    ledger.add(daily * days, days, now)
    return ledger
