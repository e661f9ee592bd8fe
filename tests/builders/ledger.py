"""One user's account, decided and evolved as a shard does it, with the journal it leaves."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.account import Account
from domain.api.answers import CreditStatusResponse
from domain.api.render import answer_text, status_answer
from domain.charges import OnInsufficient, Opening, UsageRecorded
from domain.corrections import AdjustCredits, ReverseUsage
from domain.decide import Decision, decide
from domain.event_rules import enter
from domain.fingerprints import fingerprint
from domain.holds import (
    ExpireHold,
    HoldFreed,
    HoldPlaced,
    HoldSettled,
    PlaceHold,
    ReleaseHold,
    SettleHold,
)
from domain.messages import (
    AddCredit,
    ChangeSubscription,
    Command,
    CommandRefused,
    CreditsAdded,
    Entry,
    ExpireSubscription,
    OpenDay,
    RecordUsage,
    Refusal,
)
from domain.pack_messages import AddPack, ExpirePack, PackAdded
from domain.packs import PRIORITY_DEFAULT, Category
from domain.payments import Payment
from domain.values import Credits, Policy, Status, UserId

USER = UserId("ada")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
ONE_MILLISECOND = timedelta(milliseconds=1)
ALL_SPENDABLE = Policy(system_portion_bps=0)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def pay(transaction_id: str) -> Payment:
    return Payment("card", transaction_id, 999, "EUR")


def grant_of(decision: Decision) -> CreditsAdded:
    assert isinstance(decision, CreditsAdded), decision
    return decision


def charge_of(decision: Decision) -> UsageRecorded:
    """Return the charge that was made, be it out of a hold."""
    charge = decision.usage if isinstance(decision, HoldSettled) else decision
    assert isinstance(charge, UsageRecorded), decision
    return charge


def opening_of(decision: Decision) -> Opening:
    """Return the day that a charge or hold has touched."""
    touched = decision.usage if isinstance(decision, HoldSettled) else decision
    assert isinstance(touched, CreditsAdded | UsageRecorded | HoldPlaced | HoldFreed), decision
    assert touched.opening is not None, "it has touched a day"
    return touched.opening


def refusal_of(decision: Decision) -> Refusal:
    assert isinstance(decision, Refusal), decision
    return decision


@dataclass
class Ledger:
    """Asks the domain, keeps what it decided, and names keys in the order of asking."""

    policy: Policy = ALL_SPENDABLE
    account: Account = field(default_factory=lambda: Account(USER))
    entries: list[Entry] = field(default_factory=list)
    asked: int = 0

    def do(self, command: Command, now: datetime) -> Decision:
        self.asked += 1
        return self.decide(command, f"key {self.asked}", self.account, now)

    def decide(self, command: Command, key: str, known: Account, now: datetime) -> Decision:
        """Decide a command on an account, and enter what changes."""
        decision = decide(known, command, key, now, self.policy)
        if decision is None:
            return None
        change = CommandRefused(decision) if isinstance(decision, Refusal) else decision
        seq, digest = known.seq + 1, fingerprint(command)
        entry = Entry(known.user_id, seq, now, key, digest, change, None)
        entry, self.account = enter(known, entry, self.policy)
        if not isinstance(change, CommandRefused):
            entry = replace(entry, answer=answer_text(self.account, entry, self.policy))
        self.entries.append(entry)
        return decision

    def add(
        self,
        amount: int,
        days: int,
        now: datetime,
        *,
        transaction_id: str | None = None,
        timezone: str | None = None,
    ) -> Decision:
        payment = pay(transaction_id or f"transaction {self.asked}")
        user_id = self.account.user_id
        return self.do(AddCredit(user_id, Credits(amount), days, payment, timezone), now)

    def charge(self, amount: int, now: datetime) -> Decision:
        return self.do(RecordUsage(self.account.user_id, "chat", Credits(amount)), now)

    def record(self, amount: int, now: datetime) -> Decision:
        manner = OnInsufficient.RECORD
        user_id = self.account.user_id
        return self.do(RecordUsage(user_id, "chat", Credits(amount), on_insufficient=manner), now)

    def open_day(self, now: datetime) -> Decision:
        return self.do(OpenDay(self.account.user_id), now)

    def change(
        self,
        now: datetime,
        *,
        status: Status | None = None,
        end: datetime | None = None,
        timezone: str | None = None,
        reason: str | None = None,
        which: int = -1,
    ) -> Decision:
        """Change one of the subscriptions, counted in the order of their start."""
        user_id = self.account.user_id
        subscription_id = self.account.subscriptions[which].subscription_id
        command = ChangeSubscription(user_id, subscription_id, status, end, timezone, reason)
        return self.do(command, now)

    def expire(self, now: datetime, which: int = -1) -> Decision:
        subscription_id = self.account.subscriptions[which].subscription_id
        return self.do(ExpireSubscription(self.account.user_id, subscription_id), now)

    def hold(
        self, amount: int, now: datetime, *, seconds: int = 300, record: bool = False
    ) -> Decision:
        manner = OnInsufficient.RECORD if record else OnInsufficient.REJECT
        command = PlaceHold(
            self.account.user_id, "chat", Credits(amount), seconds, on_insufficient=manner
        )
        return self.do(command, now)

    def held(self, amount: int, now: datetime, *, seconds: int = 300) -> str:
        """Place a hold that is not refused, and return its id."""
        decision = self.hold(amount, now, seconds=seconds)
        assert isinstance(decision, HoldPlaced), decision
        return decision.hold.hold_id

    def settle(self, hold_id: str, amount: int, now: datetime, *, record: bool = False) -> Decision:
        manner = OnInsufficient.RECORD if record else OnInsufficient.REJECT
        user_id = self.account.user_id
        return self.do(SettleHold(user_id, hold_id, Credits(amount), on_insufficient=manner), now)

    def release(self, hold_id: str, now: datetime) -> Decision:
        return self.do(ReleaseHold(self.account.user_id, hold_id), now)

    def expire_hold(self, hold_id: str, now: datetime) -> Decision:
        return self.do(ExpireHold(self.account.user_id, hold_id), now)

    # --- packs and corrections ------------------------------------------------------------

    def pack(
        self,
        amount: int,
        now: datetime,
        *,
        expires_at: datetime | None = None,
        priority: int = PRIORITY_DEFAULT,
        category: Category = Category.PAID,
    ) -> Decision:
        user_id, payment = self.account.user_id, pay(f"pack {self.asked}")
        command = AddPack(user_id, Credits(amount), payment, expires_at, priority, category)
        return self.do(command, now)

    def given_pack(self, amount: int, now: datetime, **told: Any) -> str:
        """Add a pack that is not refused, and return its id."""
        added = self.pack(amount, now, **told)
        assert isinstance(added, PackAdded), added
        return added.pack.pack_id

    def fill_packs(self, count: int, now: datetime) -> None:
        """Have so many packs: the first is asked for, the others are alike but for their ids."""
        pack_id = self.given_pack(1, now)
        pack = self.account.find_pack(pack_id)
        assert pack is not None
        alike = (replace(pack, pack_id=f"{number:024x}") for number in range(1, count))
        self.account = self.account.with_packs((*self.account.packs, *alike))

    def expire_pack(self, pack_id: str, now: datetime) -> Decision:
        return self.do(ExpirePack(self.account.user_id, pack_id), now)

    def cap(self, amount: int, now: datetime) -> Decision:
        user_id, rule = self.account.user_id, OnInsufficient.CAP
        return self.do(RecordUsage(user_id, "chat", Credits(amount), on_insufficient=rule), now)

    def reverse(self, usage_id: str, now: datetime, amount: int | None = None) -> Decision:
        part = None if amount is None else Credits(amount)
        return self.do(ReverseUsage(self.account.user_id, usage_id, part, "it failed"), now)

    def adjust(
        self,
        now: datetime,
        *,
        by: int | None = None,
        to: int | None = None,
        expires_at: datetime | None = None,
        allow_debt: bool = False,
    ) -> Decision:
        amount = None if by is None else Credits(by)
        remaining = None if to is None else Credits(to)
        user_id = self.account.user_id
        command = AdjustCredits(user_id, amount, remaining, "a wish", expires_at, allow_debt)
        return self.do(command, now)

    def status(self, now: datetime) -> CreditStatusResponse:
        return status_answer(self.account, now, self.policy)


def ledger_with(
    daily: int,
    days: int,
    *,
    rollover_cap: int | None = None,
    timezone: str = "UTC",
    now: datetime = NOON,
) -> Ledger:
    """Begin a subscription that gives `daily` on each of its days."""
    cap = None if rollover_cap is None else Credits(rollover_cap)
    ledger = Ledger(Policy(system_portion_bps=0, rollover_cap=cap))
    ledger.add(daily * days, days, now, timezone=timezone)
    return ledger
