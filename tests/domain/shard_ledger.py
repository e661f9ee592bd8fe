"""A ledger that keeps and recalls as a shard does, with documents that lag behind its journal."""

from dataclasses import dataclass, field
from datetime import datetime

from domain.decide import Decision
from domain.holds import ReleaseHold, SettleHold
from domain.messages import Command
from domain.recalls import Recalls, recalls
from domain.recovery import Recovered, recover
from domain.retention import keep_what_matters
from domain.values import Policy
from tests.domain.database import Database
from tests.domain.ledger import ALL_SPENDABLE, USER, Ledger


@dataclass
class ShardLedger(Ledger):
    """Its account is what RAM has; its journal and documents are what MongoDB has."""

    database: Database = field(default_factory=lambda: Database(USER))

    def do(self, command: Command, now: datetime) -> Decision:
        if isinstance(command, SettleHold | ReleaseHold):
            self._write_expiry(command.hold_id, now)
        self.asked += 1
        recalled = recalls(command, self.account)
        known = self.account if recalled is None else self.load(now, recalled).account
        decision = self.decide(command, f"key {self.asked}", known, now)
        self.account = keep_what_matters(self.account if decision is not None else known, now)
        return decision

    def _write_expiry(self, hold_id: str, now: datetime) -> None:
        found = self.account.find_hold(hold_id)
        if found is not None and found.over_at(now) <= now:
            self.expire_hold(hold_id, now)

    def write(self, upto: int | None = None) -> None:
        """Let the documents have the journal, up to an entry's number."""
        self.database.apply(self.entries[self.database.applied_seq : upto])

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
