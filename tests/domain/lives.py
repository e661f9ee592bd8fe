"""Lives of one user for hypothesis to choose: what is asked, how much, and after how long."""

from datetime import datetime, timedelta
from typing import NamedTuple

from hypothesis import strategies as st

from domain.values import Credits, Policy, Status
from tests.domain.ledger import NOON, Ledger

ZONES = ["UTC", "Pacific/Auckland", "Africa/Cairo", "America/Santiago", "Asia/Beirut"]


KINDS = [
    *["add", "charge", "charge", "record", "open", "change", "end", "expire"],
    *["hold", "hold", "hold", "settle", "settle", "overspend", "release", "expire hold"],
]


class Step(NamedTuple):
    hours: int
    """How long after the step before."""
    kind: str
    amount: int
    days: int


STEPS = st.lists(
    st.builds(
        Step,
        st.integers(0, 12) | st.integers(0, 60) | st.integers(0, 2000),
        st.sampled_from(KINDS),
        st.integers(0, 300),
        st.integers(1, 20),
    ),
    max_size=25,
)
POLICIES = st.builds(
    Policy,
    st.sampled_from([0, 1000, 9999]),
    st.sampled_from([None, Credits(0), Credits(25)]),
    st.sampled_from(ZONES),
)


def take(ledger: Ledger, step: Step, now: datetime) -> None:
    match step.kind:
        case "add":
            ledger.add(step.amount, step.days, now)
        case "charge":
            ledger.charge(step.amount, now)
        case "record":
            ledger.record(step.amount, now)
        case "open":
            ledger.open_day(now)
        case "hold":
            ledger.hold(step.amount // 8, now, seconds=60 * step.amount + step.days * 3000)
        case "settle" | "overspend" | "release" | "expire hold":
            take_on_hold(ledger, step, now)
        case _ if ledger.account.subscriptions:
            take_on_subscription(ledger, step, now)


def take_on_hold(ledger: Ledger, step: Step, now: datetime) -> None:
    """Resolve one of the holds there are, or one that has gone."""
    known = [hold.hold_id for _, hold in ledger.account.holds()]
    hold_id = [*known, "gone"][step.amount % (len(known) + 1)]
    match step.kind:
        case "settle":
            ledger.settle(hold_id, step.amount // 8, now)
        case "overspend":
            ledger.settle(hold_id, step.amount, now, record=step.days % 2 == 0)
        case "release":
            ledger.release(hold_id, now)
        case _:
            ledger.expire_hold(hold_id, now)


STATUSES = [status for status in Status if status is not Status.NONE]


def take_on_subscription(ledger: Ledger, step: Step, now: datetime) -> None:
    """Change one of the subscriptions there were, current or not."""
    which = step.amount % len(ledger.account.subscriptions)
    match step.kind:
        case "change":
            ledger.change(now, status=STATUSES[step.amount % len(STATUSES)], which=which)
        case "end":
            ledger.change(now, end=now + timedelta(days=step.days - 8), which=which)
        case _:
            ledger.expire(now, which)


def live(ledger: Ledger, steps: list[Step], now: datetime = NOON) -> datetime:
    """Take the steps one after the other, and return when the last was taken."""
    for step in steps:
        now += timedelta(hours=step.hours)
        take(ledger, step, now)
    return now
