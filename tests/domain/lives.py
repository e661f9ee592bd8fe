"""Lives of one user for hypothesis to choose: what is asked, how much, and after how long."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from hypothesis import strategies as st

from domain.holds import SettleHold
from domain.messages import GrantFromStripe, RecordUsage
from domain.pricing import NO_PRICES, Price, PriceList
from domain.stripe import ENDED, STATUS_OF, ApplyStripeState, StripeItem, StripeLink, VoidGrants
from domain.values import Credits, Policy, Status
from tests.domain.ledger import NOON, USER, Ledger, pay

ZONES = ["UTC", "Pacific/Auckland", "Africa/Cairo", "America/Santiago", "Asia/Beirut"]


FAR_ZONES = [*ZONES, "Pacific/Pago_Pago", "Pacific/Kiritimati", "America/New_York", "Asia/Kolkata"]
KINDS = [
    *["add", "charge", "charge", "record", "open", "change", "end", "expire"],
    *["hold", "hold", "hold", "settle", "settle", "overspend", "release", "expire hold"],
    *["charge by tokens", "settle by tokens", "move", "move"],
    *["paid by stripe", "follow stripe", "void"],
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
    prices=st.sampled_from([NO_PRICES, PriceList((Price("chat", "m-*", Decimal("0.3"), 10),))]),
)


def take(ledger: Ledger, step: Step, now: datetime) -> None:
    match step.kind:
        case "add":
            ledger.add(step.amount, step.days, now)
        case "charge" | "record" | "charge by tokens":
            charge(ledger, step, now)
        case "open":
            ledger.open_day(now)
        case "paid by stripe" | "follow stripe" | "void":
            take_from_stripe(ledger, step, now)
        case "hold" | "settle" | "overspend" | "release" | "expire hold" | "settle by tokens":
            take_on_hold(ledger, step, now)
        case _ if ledger.account.subscriptions:
            take_on_subscription(ledger, step, now)


def charge(ledger: Ledger, step: Step, now: datetime) -> None:
    match step.kind:
        case "charge":
            ledger.charge(step.amount, now)
        case "record":
            ledger.record(step.amount, now)
        case _:
            tokens, model = 10 * step.amount, f"m-{step.days}"
            command = RecordUsage(USER, "chat", None, token_count=tokens, model_used=model)
            ledger.do(command, now)


def take_on_hold(ledger: Ledger, step: Step, now: datetime) -> None:
    """Make a hold, or resolve one of those there are or one that has gone."""
    known = [one.hold.hold_id for one in ledger.account.holds()]
    hold_id = [*known, "gone"][step.amount % (len(known) + 1)]
    match step.kind:
        case "hold":
            ledger.hold(step.amount // 8, now, seconds=60 * step.amount + step.days * 3000)
        case "settle":
            ledger.settle(hold_id, step.amount // 8, now)
        case "overspend":
            ledger.settle(hold_id, step.amount, now, record=step.days % 2 == 0)
        case "settle by tokens":
            settle = SettleHold(USER, hold_id, None, token_count=step.amount, model_used="m-1")
            ledger.do(settle, now)
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
        case "move":
            end = None if step.days % 3 else now + timedelta(days=step.days - 8)
            zone = FAR_ZONES[step.amount % len(FAR_ZONES)]
            ledger.change(now, timezone=zone, end=end, reason="moved", which=which)
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


def take_from_stripe(ledger: Ledger, step: Step, now: datetime) -> None:
    """Let one of two Stripe subscriptions pay, change its state, or have a payment refunded."""
    user_id, name = ledger.account.user_id, f"sub_{step.amount % 2}"
    begin = now + timedelta(hours=step.amount % 90 - 60)
    end = begin + timedelta(days=step.days)
    match step.kind:
        case "paid by stripe":
            payment = pay(f"in_{step.amount % 7} line {ledger.asked}")
            amount = Credits(step.amount)
            ledger.do(GrantFromStripe(user_id, amount, begin, end, payment, name), now)
        case "void":
            parts = 1 + step.days
            kept, late = step.hours % (parts + 1), 3 * (step.amount % 5 == 0)
            version = max(ledger.asked - late, 0)  # Some come after what was told later.
            ledger.do(VoidGrants(user_id, f"in_{step.amount % 7}", kept, parts, version), now)
        case _:
            ledger.do(ApplyStripeState(user_id, link_of(name, step, now, ledger.asked)), now)


def link_of(name: str, step: Step, now: datetime, version: int) -> StripeLink:
    status = sorted(STATUS_OF)[step.amount % len(STATUS_OF)]
    end = now + timedelta(days=step.days - 3)
    return StripeLink(
        name,
        "cus_1",
        status,
        NOON,
        end,
        end if step.hours % 3 == 0 else None,
        now if status in ENDED else None,
        (StripeItem("price_1", step.days),),
        version,
    )
