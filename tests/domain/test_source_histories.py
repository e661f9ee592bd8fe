"""A hundred days of random life over days and packs, told to the domain and to the reference alike.

The seed is in the test's name. `LIVES=1000` tries so many.
"""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any

import pytest

from domain.api.answers import UsageRecordResponse
from domain.charges import OnInsufficient, UsageRecorded
from domain.comparison import difference
from domain.corrections import CreditsAdjusted, UsageReversed
from domain.decide import Decision
from domain.holds import ExpireHold, HoldFreed, HoldPlaced, HoldSettled, PlaceHold, SettleHold
from domain.local_days import ONE_DAY, day_of, midnight
from domain.messages import (
    ChangeSubscription,
    CreditsAdded,
    ExpireSubscription,
    RecordUsage,
    Refusal,
)
from domain.pack_messages import PackAdded, PackExpired
from domain.packs import Category, Pack
from domain.sources import PackShare
from domain.values import Credits, Policy
from tests.builders.ledger import NOON, ONE_MILLISECOND, USER, charge_of
from tests.builders.life_choices import CAPS, ROLLOVERS, STATUSES, ZONES, shortfall_of
from tests.builders.shard_ledger import ShardLedger
from tests.reference import dates, model, sources
from tests.reference.sources import Outcome, SourcesUser

DAYS = 100
LIVES = int(os.environ.get("LIVES", "24"))


@pytest.fixture(autouse=True)
def _reference_remembers_midnights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the reference its slowest walk: a midnight stays where it was found."""
    remembered = lru_cache(maxsize=None)(dates.local_midnight)
    for module in (model, dates, sources):
        monkeypatch.setattr(module, "local_midnight", remembered)


class TwoBooks:
    """One user's life, kept by the domain and by the reference."""

    def __init__(self, random: Random, rollover: str | int, zone: str) -> None:
        self.random = random
        bps, late = random.choice([0, 1000]), random.choice([0, 3600, 86_400])
        policy = Policy(bps, CAPS[rollover], zone, late_settle_seconds=late)
        self.ledger = ShardLedger(policy)
        self.reference = SourcesUser(
            system_portion_bps=bps,
            rollover=rollover,
            default_timezone=zone,
            late_settle_seconds=late,
        )
        self.subscriptions: list[str] = []
        self.packs: list[str] = []
        self.holds: list[str] = []
        self.usages: list[str] = []
        self.paid = 0

    def step(self, now: datetime) -> None:
        acts = [self.add, self.pack, self.charge, self.hold, self.settle, self.resolve]
        acts += [self.reverse, self.adjust, self.operate, self.expire_pack, self.write]
        weights = [6, 6, 30, 12, 12, 5, 14, 6, 4, 3, 6]
        self.random.choices(acts, weights)[0](now)

    # --- what is asked ------------------------------------------------------------------

    def add(self, now: datetime) -> None:
        name, amount = f"transaction-{self.paid}", self.random.choice([0, 7, 100, 900])
        days = self.random.choice([1, 2, 7, 20])
        self.paid += 1
        decision = self.ledger.add(amount, days, now, transaction_id=name)
        outcome = self.reference.add_credit(now=now, amount=amount, days=days, transaction_id=name)
        assert isinstance(decision, CreditsAdded)
        assert outcome == ("created" if decision.created else "added")
        if decision.created:
            self.subscriptions.append(decision.opening.subscription_id)

    def pack(self, now: datetime) -> None:
        told: dict[str, Any] = {
            "expires_at": self.random.choice(
                [None, now + timedelta(hours=self.random.randint(1, 400))]
            ),
            "priority": self.random.choice([0, 50, 50, 50, 100]),
        }
        category = self.random.choice([Category.PAID, Category.PROMOTIONAL])
        amount = self.random.randint(1, 150)
        decision = self.ledger.pack(amount, now, category=category, **told)
        outcome = self.reference.add_pack(now=now, amount=amount, category=str(category), **told)
        self.agree(decision, outcome)

    def charge(self, now: datetime) -> None:
        left = self.ledger.status(now).remaining_credits
        amount = max(0, self.random.choice([left - 1, left, left + 1, left + 40, left // 2, 5, 30]))
        rule = self.random.choices(list(OnInsufficient), [70, 15, 15])[0]
        shortfall = self.reference.shortfall(now=now, amount=amount)
        command = RecordUsage(USER, "chat", Credits(amount), on_insufficient=rule)
        decision = self.ledger.do(command, now)
        self.agree(decision, self.reference.charge(now=now, amount=amount, rule=str(rule)))
        if isinstance(decision, Refusal):
            assert shortfall_of(decision) == shortfall

    def hold(self, now: datetime) -> None:
        left = max(self.ledger.status(now).remaining_credits, 0)
        amount = self.random.choice([left, left + 1, left // 2, left // 3, 5, left + 50])
        least = self.random.choice([None, None, 0, amount // 2, amount])
        seconds = self.random.choice([1, 300, 3600, 86_400, self.random.randint(1, 86_400)])
        at_least = None if least is None else Credits(least)
        command = PlaceHold(USER, "chat", Credits(amount), seconds, at_least=at_least)
        decision = self.ledger.do(command, now)
        self.agree(
            decision,
            self.reference.hold(now=now, amount=amount, seconds=seconds, at_least=least),
        )

    def some_hold(self) -> int | None:
        """Return one of the last holds, be it open or not."""
        last = len(self.holds) - 1
        return None if last < 0 else max(0, last - self.random.randrange(5))

    def settle(self, now: datetime) -> None:
        which = self.some_hold()
        if which is None:
            return
        amount = self.random.choice([0, 3, 40, self.random.randint(0, 90), 400])
        rule = self.random.choices(list(OnInsufficient), [20, 20, 60])[0]
        command = SettleHold(USER, self.holds[which], Credits(amount), on_insufficient=rule)
        decision = self.ledger.do(command, now)
        outcome = self.reference.settle(which, now=now, amount=amount, rule=str(rule))
        self.agree(decision, outcome)

    def resolve(self, now: datetime) -> None:
        which = self.some_hold()
        if which is None:
            return
        if self.random.random() < 0.5:
            self.agree(
                self.ledger.release(self.holds[which], now), self.reference.release(which, now=now)
            )
        else:  # As the janitor does: its subscription may be none that RAM keeps.
            self.expire(which, now)

    def expire(self, which: int, now: datetime) -> None:
        decision = self.ledger.do(ExpireHold(USER, self.holds[which], "some"), now)
        outcome = self.reference.expire_open(which, now=now)
        if outcome.said == "hold_closed" and isinstance(decision, HoldFreed):
            # Its subscription is none that RAM keeps: a release did not see it, nor write it down.
            assert decision.opening is not None
            assert self.ledger.account.find(decision.opening.subscription_id) is None
        else:
            self.agree(decision, outcome)

    def reverse(self, now: datetime) -> None:
        if not self.usages:
            return
        back = self.random.choice([1, 2, 5, 20, len(self.usages)])
        which = max(0, len(self.usages) - self.random.randint(1, back))
        amount = self.random.choice([None, 1, 10, self.random.randint(1, 100)])
        decision = self.ledger.reverse(self.usages[which], now, amount)
        self.agree(decision, self.reference.reverse(which, now=now, amount=amount))

    def adjust(self, now: datetime) -> None:
        by, to = self.random.choice([(self.random.randint(-80, 60), None), (None, 70), (None, 0)])
        debt = self.random.random() < 0.3
        decision = self.ledger.adjust(now, by=by, to=to, allow_debt=debt)
        self.agree(decision, self.reference.adjust(now=now, by=by, to=to, allow_debt=debt))

    def expire_pack(self, now: datetime) -> None:
        if not self.packs:
            return
        which = self.random.randrange(len(self.packs))
        decision = self.ledger.expire_pack(self.packs[which], now)
        self.agree(decision, self.reference.expire_pack(which, now=now))

    def operate(self, now: datetime) -> None:
        """Do to some subscription what an operator or the janitor does."""
        if not self.subscriptions:
            return
        count, chance = len(self.subscriptions), self.random.random()
        which = max(self.random.randrange(count), self.random.randrange(count))
        name = self.subscriptions[which]
        if chance < 0.5:
            status = self.random.choice(STATUSES)
            self.ledger.do(ChangeSubscription(USER, name, status), now)
            self.reference.change(which, status=str(status))
        elif chance < 0.7:
            end = now + timedelta(hours=self.random.randint(-100, 400))
            self.ledger.do(ChangeSubscription(USER, name, None, end), now)
            self.reference.change(which, end_date=end)
        else:
            self.ledger.do(ExpireSubscription(USER, name), now)
            self.reference.expire(which, now=now)

    def write(self, now: datetime) -> None:
        self.ledger.write(len(self.ledger.entries) - self.random.randrange(4))

    # --- what is answered ---------------------------------------------------------------

    def agree(self, decision: Decision, outcome: Outcome) -> None:
        """Compare two answers, and remember what was made."""
        match decision:
            case PackAdded(pack=pack) | CreditsAdjusted(added=Pack() as pack):
                self.packs.append(pack.pack_id)
                self.reference.packs[-1].name = pack.pack_id
            case HoldPlaced():
                self.holds.append(decision.hold.hold_id)
            case UsageRecorded() | HoldSettled():
                self.usages.append(charge_of(decision).usage_id)
            case _:
                pass
        if isinstance(decision, Refusal):
            assert (str(decision.reason), {}) == (outcome.said, outcome.facts)
        else:
            assert (SAID[type(decision)], self.facts(decision)) == (outcome.said, outcome.facts)

    def facts(self, decision: Decision) -> dict[str, Any]:  # noqa: PLR0911 - one a kind of change
        match decision:
            case PackAdded(pack=pack):
                return {"spendable": pack.spendable}
            case PackExpired(lapsed_credits=lapsed):
                return {"lapsed": lapsed}
            case HoldPlaced(hold=hold):
                of_day = decision.of_day.credit_amount if decision.of_day else 0
                facts = {"amount": hold.credit_amount, "day": of_day}
                return facts | {"packs": self.named(decision.packs)}
            case HoldFreed():
                return {}
            case UsageReversed():
                return {
                    "amount": decision.credit_amount,
                    "returned": decision.returned_credits,
                    "reversed": decision.reversed_credits,
                }
            case CreditsAdjusted():
                facts = {"amount": decision.credit_amount, "day": decision.day_amount}
                return facts | {"packs": self.named(decision.packs)}
            case _:
                return self.facts_of_charge(charge_of(decision))

    def facts_of_charge(self, charge: UsageRecorded) -> dict[str, Any]:
        return {
            "day": charge.day_amount,
            "packs": self.named(charge.packs),
            "uncovered": charge.uncovered_credits,
            "late": charge.settles is not None,
        }

    def named(self, shares: tuple[PackShare, ...]) -> list[tuple[int, int]]:
        return [(self.packs.index(s.pack_id), s.credit_amount) for s in shares if s.credit_amount]

    def compare(self, now: datetime) -> None:
        """Ask both, now and on both sides of the next midnight."""
        zone = self.ledger.policy.timezone
        following = midnight(day_of(now, zone) + ONE_DAY, zone)
        for instant in (now, following - ONE_MILLISECOND, following):
            answer = self.ledger.status(instant).model_dump()
            expected = self.reference.status(now=instant)
            assert {name: answer[name] for name in expected} == expected


CHARGES = (UsageRecorded, HoldSettled)
SAID: dict[type[object], str] = {
    PackAdded: "added",
    PackExpired: "expired",
    HoldPlaced: "held",
    HoldFreed: "freed",
    UsageReversed: "reversed",
    CreditsAdjusted: "adjusted",
    UsageRecorded: "charged",
    HoldSettled: "charged",
}


def instants(random: Random, zone: str) -> Iterator[datetime]:
    """Walk through DAYS days, with idle days, and often to the very edge of one."""
    now, end = NOON, NOON + DAYS * ONE_DAY
    while now < end:
        yield now
        now += timedelta(milliseconds=random.randint(0, random.choice([86_400_000, 3_600_000])))
        if random.random() < 0.05:
            now += timedelta(days=random.randint(1, 12))
        if random.random() < 0.2:
            edge = midnight(day_of(now, zone) + ONE_DAY, zone)
            now = edge - ONE_MILLISECOND if random.random() < 0.5 else edge


@pytest.mark.parametrize("seed", range(LIVES))
def test_every_day_of_a_life_over_sources_is_as_the_reference_tells_it(seed: int) -> None:
    random = Random(seed)
    rollover, zone = ROLLOVERS[seed % len(ROLLOVERS)], random.choice(ZONES)
    books = TwoBooks(random, rollover, zone)

    for now in instants(random, zone):
        for _ in range(random.randint(1, 2)):
            books.step(now)
        if random.random() < 0.3:
            books.compare(now)

    books.ledger.write()
    known, loaded = books.ledger.account, books.ledger.load(now).account
    assert loaded.packs == known.packs
    assert difference(known, loaded, now, books.ledger.policy) is None
    assert any(isinstance(entry.change, UsageReversed) for entry in books.ledger.entries)
    answers = [e.answer for e in books.ledger.entries if isinstance(e.change, CHARGES) and e.answer]
    assert answers == [
        UsageRecordResponse.model_validate_json(a).model_dump_json() for a in answers
    ]
