"""Lives of one user for hypothesis to choose: what is asked, how much, and after how long."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from hypothesis import strategies as st

from domain.holds import HoldPlaced, PlaceHold, SettleHold
from domain.messages import GrantFromStripe, RecordUsage, charge_in
from domain.packs import Category
from domain.pricing import NO_PRICES, Price, PriceList
from domain.stripe import ENDED, STATUS_OF, ApplyStripeState, StripeItem, StripeLink, VoidGrants
from domain.values import Credits, Policy, Status
from tests.builders.ledger import NOON, USER, Ledger, pay
from tests.builders.shard_ledger import ShardLedger

ZONES = ["UTC", "Pacific/Auckland", "Africa/Cairo", "America/Santiago", "Asia/Beirut"]


FAR_ZONES = [*ZONES, "Pacific/Pago_Pago", "Pacific/Kiritimati", "America/New_York", "Asia/Kolkata"]
KINDS = [
    *["add", "charge", "charge", "record", "open", "change", "end", "expire"],
    *["hold", "hold", "hold", "settle", "settle", "overspend", "release", "expire hold"],
    *["charge by tokens", "settle by tokens", "move", "move"],
    *["paid by stripe", "follow stripe", "void"],
]
KINDS_OF_SOURCES = [
    *["pack", "pack", "expire pack", "cap", "hold at least", "settle late"],
    *["reverse", "reverse", "adjust by", "adjust to", "write"],
]


class Step(NamedTuple):
    hours: int
    """How long after the step before."""
    kind: str
    amount: int
    days: int


def steps_of(kinds: list[str]) -> st.SearchStrategy[list[Step]]:
    hours = st.integers(0, 12) | st.integers(0, 60) | st.integers(0, 2000)
    step = st.builds(Step, hours, st.sampled_from(kinds), st.integers(0, 300), st.integers(1, 20))
    return st.lists(step, max_size=25)


STEPS = steps_of([*KINDS, *KINDS_OF_SOURCES])
STEPS_OF_DAYS = steps_of(KINDS)
"""Without packs and corrections."""
POLICIES = st.builds(
    Policy,
    st.sampled_from([0, 1000, 9999]),
    st.sampled_from([None, Credits(0), Credits(25)]),
    st.sampled_from(ZONES),
    prices=st.sampled_from([NO_PRICES, PriceList((Price("chat", "m-*", Decimal("0.3"), 10),))]),
    low_credits_percents=st.sampled_from([(), (60, 20, 5)]),
)


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


def take_on_packs(ledger: Ledger, step: Step, now: datetime) -> None:
    """Add a pack or let it expire, or do what packs have made more of."""
    match step.kind:
        case "pack":
            expires_at = None if step.days % 3 == 0 else now + timedelta(days=step.days, hours=-20)
            category = list(Category)[step.amount % 3]
            ledger.pack(
                step.amount, now, expires_at=expires_at, priority=step.days * 5, category=category
            )
        case "expire pack":
            known = [pack.pack_id for pack in ledger.account.packs]
            ledger.expire_pack([*known, "gone"][step.amount % (len(known) + 1)], now)
        case "cap":
            ledger.cap(step.amount, now)
        case "hold at least":
            amount, least = Credits(step.amount), Credits(step.amount // step.days)
            ledger.do(PlaceHold(USER, "chat", amount, 600 * step.days, at_least=least), now)
        case _:
            made = [
                e.change.hold.hold_id for e in ledger.entries if isinstance(e.change, HoldPlaced)
            ]
            if made:
                hold_id = made[-1 - step.days % min(len(made), 4)]
                ledger.do(SettleHold(USER, hold_id, Credits(step.amount)), now)


def correct(ledger: Ledger, step: Step, now: datetime) -> None:
    """Give back a part of some charge, or all that is left of it; or adjust what is left."""
    match step.kind:
        case "reverse":
            charges = [charge for e in ledger.entries if (charge := charge_in(e.change))]
            made = [charge.usage_id for charge in charges]
            usage_id = [*made, "unknown"][step.amount % (len(made) + 1)]
            ledger.reverse(usage_id, now, None if step.days % 2 else 1 + step.amount // 8)
        case "adjust by":
            ledger.adjust(now, by=step.amount - 150, allow_debt=step.days % 3 == 0)
        case _:
            ledger.adjust(now, to=step.amount)


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
    if not ledger.account.subscriptions:
        return
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


def write(ledger: Ledger, step: Step, _: datetime) -> None:
    """Let the documents follow the journal, up to its last entries."""
    if isinstance(ledger, ShardLedger):
        ledger.write(len(ledger.entries) - step.days % 4)


def add(ledger: Ledger, step: Step, now: datetime) -> None:
    ledger.add(step.amount, step.days, now)


def open_day(ledger: Ledger, _: Step, now: datetime) -> None:
    ledger.open_day(now)


def take(ledger: Ledger, step: Step, now: datetime) -> None:
    TAKERS[step.kind](ledger, step, now)


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


TAKERS: dict[str, Callable[[Ledger, Step, datetime], None]] = {
    "add": add,
    "open": open_day,
    "write": write,
    **dict.fromkeys(["charge", "record", "charge by tokens"], charge),
    **dict.fromkeys(["change", "end", "expire", "move"], take_on_subscription),
    **dict.fromkeys(["hold", "settle", "overspend", "release", "expire hold"], take_on_hold),
    "settle by tokens": take_on_hold,
    **dict.fromkeys(["pack", "expire pack", "cap", "hold at least", "settle late"], take_on_packs),
    **dict.fromkeys(["reverse", "adjust by", "adjust to"], correct),
    **dict.fromkeys(["paid by stripe", "follow stripe", "void"], take_from_stripe),
}
