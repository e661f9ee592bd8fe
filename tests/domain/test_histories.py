"""More than a year of random life, told to the domain and to the reference model alike.

After every step both are asked the same questions. The seed is in the test's name: run
`pytest "tests/domain/test_histories.py::<test>[0-full-UTC]"` to live that life again.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random

import pytest

from domain.charges import UsageRecorded
from domain.decide import Decision
from domain.holds import HoldFreed, HoldPlaced, HoldSettled
from domain.local_days import ONE_DAY, day_of, midnight
from domain.messages import CreditsAdded, Refusal, SubscriptionChanged, SubscriptionExpired
from domain.stripe import VoidGrants
from domain.values import Policy
from tests.builders.ledger import NOON, ONE_MILLISECOND, USER, Ledger
from tests.builders.life_choices import CAPS, ROLLOVERS, STATUSES, ZONES, shortfall_of
from tests.builders.lives import FAR_ZONES
from tests.reference import dates, model
from tests.reference.model import ReferenceUser

DAYS = 400
LIVES = [
    pytest.param(seed, rollover, zone, id=f"{seed}-{rollover}-{zone.replace('/', '_')}")
    for seed, (rollover, zone) in enumerate((r, z) for z in ZONES for r in ROLLOVERS)
]


@pytest.fixture(autouse=True)
def _reference_remembers_midnights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the reference its slowest walk: a midnight stays where it was found."""
    remembering = lru_cache(maxsize=None)(dates.local_midnight)
    monkeypatch.setattr(model, "local_midnight", remembering)
    monkeypatch.setattr(dates, "local_midnight", remembering)


class TwoBooks:
    """One user's life, kept by the domain and by the reference."""

    def __init__(self, random: Random, rollover: str | int, zone: str) -> None:
        self.random = random
        self.zone = zone
        bps = random.choice([0, 1000, 3333])
        self.ledger = Ledger(
            Policy(system_portion_bps=bps, rollover_cap=CAPS[rollover], timezone=zone),
        )
        self.reference = ReferenceUser(
            system_portion_bps=bps, rollover=rollover, default_timezone=zone
        )
        self.paid: list[str] = []
        self.held: list[str] = []

    def step(self, now: datetime) -> None:
        chance = self.random.random()
        if chance < 0.07:
            self.add(now)
        elif chance < 0.11 and self.paid:
            self.add_again(now)
        elif chance < 0.65:
            self.charge(now)
        elif chance < 0.75:
            self.hold(now)
        elif chance < 0.85:
            self.resolve(now)
        elif chance < 0.92:
            self.ledger.open_day(now)
        elif chance < 0.94 and self.paid:
            self.void(now)

    def add(self, now: datetime) -> None:
        transaction_id = f"transaction-{len(self.paid)}"
        self.paid.append(transaction_id)
        amount = self.random.choice([0, 7, 100, self.random.randint(1, 5000)])
        days = self.random.choice([1, 2, 7, 30, self.random.randint(1, 120)])
        self.pay(transaction_id, amount, days, now)

    def void(self, now: datetime) -> None:
        transaction_id, parts = self.random.choice(self.paid), self.random.randint(1, 9)
        kept = self.random.randint(0, parts)
        void = VoidGrants(USER, transaction_id, kept, parts, self.ledger.asked)
        self.ledger.do(void, now)
        self.ledger.do(replace(void, kept=0, version=void.version - 1), now)  # It comes too late.
        self.reference.void(now=now, transaction_id=transaction_id, kept=kept, parts=parts)

    def add_again(self, now: datetime) -> None:
        self.pay(self.random.choice(self.paid), 1000, 10, now)

    def pay(self, transaction_id: str, amount: int, days: int, now: datetime) -> None:
        decision = self.ledger.add(amount, days, now, transaction_id=transaction_id)
        outcome = self.reference.add_credit(
            now=now, amount=amount, days=days, transaction_id=transaction_id
        )

        assert outcome_of(decision) == outcome

    def charge(self, now: datetime) -> None:
        left = self.ledger.status(now).remaining_credits
        amount = max(0, left + self.random.choice([-left, -3, -1, 0, 1, 2, 40, 300]))
        if self.random.random() < 0.4:
            amount = self.random.randint(0, 60)
        manner = self.random.choices(["reject", "record"], [85, 15])[0]
        tell = {"reject": self.ledger.charge, "record": self.ledger.record}[manner]
        expected = self.reference.refusal(now=now, credit_amount=amount)

        decision = tell(amount, now)
        outcome = self.reference.record_usage(now=now, credit_amount=amount, on_insufficient=manner)

        assert outcome_of(decision) == outcome
        if isinstance(decision, Refusal):
            assert shortfall_of(decision) == expected

    def hold(self, now: datetime) -> None:
        left = self.ledger.status(now).remaining_credits
        amount = max(0, self.random.choice([left, left + 1, left // 2, left // 3, 5]))
        seconds = self.random.choice([1, 300, 3600, 86_400, self.random.randint(1, 86_400)])
        self.tell_of_hold(amount, seconds, now)

    def tell_of_hold(self, amount: int, seconds: int, now: datetime) -> None:
        decision = self.ledger.hold(amount, now, seconds=seconds)
        outcome = self.reference.place_hold(now=now, credit_amount=amount, seconds=seconds)

        assert outcome_of(decision) == outcome
        if isinstance(decision, HoldPlaced):
            self.held.append(decision.hold.hold_id)

    def resolve(self, now: datetime) -> None:
        """Do something to one of the last holds, be it open or not."""
        if not self.held:
            return
        which = max(0, len(self.held) - 1 - self.random.randrange(4))
        hold_id = self.held[which]
        if self.random.random() < 0.6:
            amount = self.random.choice([0, 3, 40, self.random.randint(0, 90)])
            record = self.random.random() < 0.3
            decision = self.ledger.settle(hold_id, amount, now, record=record)
            outcome = self.reference.settle_hold(
                which,
                now=now,
                credit_amount=amount,
                on_insufficient="record" if record else "reject",
            )
        elif self.random.random() < 0.5:
            decision = self.ledger.release(hold_id, now)
            outcome = self.reference.release_hold(which, now=now)
        else:
            decision = self.ledger.expire_hold(hold_id, now)
            outcome = self.reference.expire_hold(which, now=now)
        assert outcome_of(decision) == outcome

    def operate(self, now: datetime) -> None:
        """Do to some subscription what an operator or the janitor does."""
        count, chance = len(self.reference.subscriptions), self.random.random()
        if not count or chance < 0.85:
            return
        which = max(self.random.randrange(count), self.random.randrange(count))
        if chance < 0.91:
            status = self.random.choice(STATUSES)
            decision = self.ledger.change(now, status=status, which=which)
            outcome = self.reference.change(which, status=str(status))
        elif chance < 0.96:
            end = now + timedelta(hours=self.random.randint(-200, 1000))
            decision = self.ledger.change(now, end=end, which=which)
            outcome = self.reference.change(which, end_date=end)
        else:
            decision = self.ledger.expire(now, which)
            outcome = self.reference.expire(which, now=now)
        assert outcome_of(decision) == outcome

    def move(self, now: datetime, dice: Random) -> None:
        """Change the zone of some subscription, the newest more often than not."""
        count = len(self.reference.subscriptions)
        if not count or dice.random() < 0.8:
            return
        zone, which = dice.choice(FAR_ZONES), dice.choice([count - 1, count // 2])
        decision = self.ledger.change(now, timezone=zone, which=which)

        assert outcome_of(decision) == self.reference.change(which, timezone=zone, now=now)

    def compare(self, now: datetime) -> None:
        """Ask both, now and on both sides of the next midnight."""
        answer = self.ledger.status(now).model_dump()
        expected = self.reference.status(now=now)
        next_midnight = expected["resets_at"]

        assert {name: answer[name] for name in expected} == expected
        for instant in (next_midnight - ONE_MILLISECOND, next_midnight):
            answer = self.ledger.status(instant).model_dump()
            expected = self.reference.status(now=instant)
            assert {name: answer[name] for name in expected} == expected


OUTCOMES: dict[type[object], str] = {
    UsageRecorded: "recorded",
    SubscriptionChanged: "changed",
    SubscriptionExpired: "expired",
    HoldPlaced: "held",
    HoldSettled: "settled",
    HoldFreed: "freed",
}


def outcome_of(decision: Decision) -> str:
    match decision:
        case CreditsAdded(created=created):
            return "created" if created else "added"
        case Refusal(reason):
            return str(reason)
        case _:
            return OUTCOMES[type(decision)]


def instants(random: Random, zone: str) -> Iterator[datetime]:
    """Walk through DAYS days, with idle days, and often to the very edge of one."""
    now, end = NOON, NOON + DAYS * ONE_DAY
    while now < end:
        yield now
        longest = random.choice(
            [3 * 86_400_000, 3 * 86_400_000, 6 * 3_600_000]
        )  # Or within a hold.
        now += timedelta(milliseconds=random.randint(0, longest))
        if random.random() < 0.1:
            now += timedelta(days=random.randint(1, 30))
        if random.random() < 0.3:
            edge = midnight(day_of(now, zone) + ONE_DAY, zone)
            now = edge - ONE_MILLISECOND if random.random() < 0.5 else edge
    yield now


@pytest.mark.parametrize("moves", [False, True], ids=["stays", "moves"])
@pytest.mark.parametrize(("seed", "rollover", "zone"), LIVES)
def test_every_day_of_a_life_is_as_the_reference_tells_it(
    seed: int,
    rollover: str | int,
    zone: str,
    moves: bool,
) -> None:
    random, mover = Random(seed), Random(f"moves {seed}")
    books = TwoBooks(random, rollover, zone)

    for now in instants(random, zone):
        if moves and comes_twice(now):
            continue
        for _ in range(random.randint(1, 3)):
            books.step(now)
        books.operate(now)
        if moves:
            books.move(now, mover)
        books.compare(now)

    assert any(isinstance(entry.change, CreditsAdded) for entry in books.ledger.entries)
    assert any(isinstance(entry.change, UsageRecorded) for entry in books.ledger.entries)
    assert any(isinstance(entry.change, HoldPlaced) for entry in books.ledger.entries)
    resolved = (HoldSettled, HoldFreed)
    assert any(isinstance(entry.change, resolved) for entry in books.ledger.entries)
    assert moves == any(subscription.eras for subscription in books.ledger.account.subscriptions)


def comes_twice(now: datetime) -> bool:
    """Say whether some clock is set back over midnight: there a date comes twice."""
    hour = timedelta(hours=1)
    return any(day_of(now, zone) < day_of(now - hour, zone) for zone in FAR_ZONES)
