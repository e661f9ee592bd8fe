"""One user's accounting over several sources: days and packs, and what is corrected of both.

It owns what sections 8 and 9 of the contract say: the order in which sources give, holds over several
of them, what settles how, late settlements, reversals and adjustments. As the model of days beneath it,
it shares no code with `domain/` and would rather be slow than clever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.reference.dates import local_midnight
from tests.reference.model import ONE_DAY, ReferenceUser, Subscription
from tests.reference.model import Hold as DayHold

FAR_AWAY = datetime(9999, 12, 31, tzinfo=UTC)
CATEGORIES = ["promotional", "adjustment", "paid"]


@dataclass
class Pack:
    """Credits that any day may spend."""

    given: int
    priority: int
    category: str
    created_at: datetime
    expires_at: datetime | None
    number: int
    name: str = ""
    """Told by who asks, once it is known: it decides between packs of one instant."""
    used: int = 0
    taken_back: int = 0
    is_lapse_told: bool = False

    def is_live(self, now: datetime) -> bool:
        return self.expires_at is None or now < self.expires_at


@dataclass
class Hold:
    """Shares of sources, in the order in which they were taken."""

    expires_at: datetime
    day: tuple[Subscription, DayHold] | None
    packs: list[tuple[Pack, int]]
    is_late: bool = False
    """It has expired, and nobody settled it since."""


@dataclass
class Charge:
    """What each source gave, in order, and what went back."""

    day: tuple[Subscription, date] | None
    day_amount: int
    packs: list[tuple[Pack, int]]
    uncovered: int = 0
    late: bool = False
    reversed: int = 0

    @property
    def amount(self) -> int:
        return self.day_amount + sum(amount for _, amount in self.packs)


@dataclass
class There:
    """What there is to spend at an instant."""

    subscription: Subscription | None
    today: date | None
    day_left: int
    may_spend: bool
    packs: list[tuple[Pack, int]]

    @property
    def remaining(self) -> int:
        return self.day_left + sum(left for _, left in self.packs)

    @property
    def is_nothing(self) -> bool:
        return not self.may_spend and not any(left > 0 for _, left in self.packs)


@dataclass
class Outcome:
    """What was answered, in words and numbers."""

    said: str
    facts: dict[str, Any] = field(default_factory=dict)


class SourcesUser(ReferenceUser):
    def __init__(self, *, late_settle_seconds: int = 86_400, **settings: Any) -> None:
        super().__init__(**settings)
        self.late_settle_seconds = late_settle_seconds
        self.packs: list[Pack] = []
        self.all_holds: list[Hold] = []
        self.charges: list[Charge] = []

    # --- what there is ------------------------------------------------------------------

    def left_of(self, pack: Pack, now: datetime) -> int:
        held = sum(
            amount
            for hold in self.all_holds
            if now < hold.expires_at
            for known, amount in hold.packs
            if known is pack
        )
        return pack.given - pack.taken_back - pack.used - held

    def live(self, now: datetime) -> list[tuple[Pack, int]]:
        """Return live packs in the order in which they are spent, with what is left of each."""
        in_order = sorted(
            (pack for pack in self.packs if pack.is_live(now)),
            key=lambda pack: (
                pack.priority,
                pack.expires_at or FAR_AWAY,
                CATEGORIES.index(pack.category),
                pack.created_at,
                pack.name,
            ),
        )
        return [(pack, self.left_of(pack, now)) for pack in in_order]

    def there(
        self, now: datetime, subscription: Subscription | None = None, *, paused_too: bool = False
    ) -> There:
        current = subscription or self._current(now)
        if current is None:
            return There(None, None, 0, may_spend=False, packs=self.live(now))
        today = self._today(current, now)
        may_spend = paused_too or current.status in {"active", "past_due"}
        left = today.remaining if may_spend else 0
        return There(current, today.day, left, may_spend, self.live(now))

    def taken(self, there: There, amount: int) -> tuple[int, list[tuple[Pack, int]]]:
        """Return what day and packs give of an amount; what is in none of them is the day's debt."""
        of_day = min(max(there.day_left, 0), amount)
        missing, shares = amount - of_day, []
        for pack, left in there.packs:
            share = min(max(left, 0), missing)
            if share:
                shares.append((pack, share))
                missing -= share
        return of_day + missing, shares

    def asked(self, there: There, amount: int, rule: str) -> int | str:
        """Return how much is charged of an amount, or why nothing is."""
        if there.is_nothing:
            return "no_active_subscription"
        if there.remaining >= amount:
            return amount
        if rule == "cap":
            return max(there.remaining, 0)
        if rule == "record" and there.may_spend:
            return amount
        return "insufficient_credits"

    # --- charges ------------------------------------------------------------------------

    def charge(self, *, now: datetime, amount: int, rule: str, late: bool = False) -> Outcome:
        there = self.there(now)
        charged = self.asked(there, amount, rule)
        if isinstance(charged, str):
            return Outcome(charged)
        of_day, shares = self.taken(there, charged)
        return self.charged(there, of_day, shares, amount - charged, late=late)

    def charged(
        self,
        there: There,
        of_day: int,
        shares: Iterable[tuple[Pack, int]],
        uncovered: int,
        *,
        late: bool = False,
    ) -> Outcome:
        day = None
        if there.subscription is not None and there.today is not None:
            day = there.subscription, there.today
            used = there.subscription.used_on
            used[there.today] = used.get(there.today, 0) + of_day
        sums: dict[int, int] = {}
        for pack, share in shares:
            pack.used += share
            if share:
                sums[pack.number] = sums.get(pack.number, 0) + share
        packs = [(self.packs[number], share) for number, share in sums.items()]
        made = Charge(day, of_day, packs, uncovered, late)
        self.charges.append(made)
        return Outcome("charged", told_of(made))

    # --- packs --------------------------------------------------------------------------

    def add_pack(
        self,
        *,
        now: datetime,
        amount: int,
        expires_at: datetime | None,
        priority: int,
        category: str,
    ) -> Outcome:
        system_portion = amount * self.system_portion_bps // 10000
        number = len(self.packs)
        self.packs.append(
            Pack(amount - system_portion, priority, category, now, expires_at, number)
        )
        return Outcome("added", {"spendable": amount - system_portion})

    def expire_pack(self, which: int, *, now: datetime) -> Outcome:
        pack = self.packs[which]
        if pack.is_live(now) or pack.is_lapse_told:
            return Outcome("not_ended")
        pack.is_lapse_told = True
        return Outcome("expired", {"lapsed": self.left_of(pack, now)})

    # --- holds --------------------------------------------------------------------------

    def hold(
        self, *, now: datetime, amount: int, seconds: int, at_least: int | None = None
    ) -> Outcome:
        there = self.there(now)
        asked = self.asked(there, amount, "reject")
        if asked == "insufficient_credits" and at_least is not None:
            asked = max(there.remaining, 0) if at_least <= max(there.remaining, 0) else asked
        if isinstance(asked, str):
            return Outcome(asked)
        of_day, shares = self.taken(there, asked)
        expires_at = now + timedelta(seconds=seconds)
        day = None
        if there.subscription is not None and there.today is not None and (of_day or not shares):
            day = there.subscription, DayHold(there.today, of_day, expires_at)
            there.subscription.holds.append(day[1])
        if day is None and not shares:  # Of nothing: the first pack knows it.
            shares = [(next(pack for pack, left in there.packs if left > 0), 0)]
        self.all_holds.append(Hold(expires_at, day, shares))
        packs = [(pack.number, share) for pack, share in shares if share]
        return Outcome("held", {"amount": asked, "day": of_day, "packs": packs})

    def write_down(self, hold: Hold, now: datetime) -> bool:
        """Free the shares that are over; return whether some were."""
        was_held = hold.day is not None or bool(hold.packs)
        ended = hold.day is not None and not hold.day[0].is_current(
            min(now, hold.expires_at - timedelta(milliseconds=1))
        )
        if hold.day is not None and (ended or now >= hold.expires_at):
            hold.day[1].resolved = True
            hold.day = None
        elif not was_held or now < hold.expires_at:
            return False
        if now >= hold.expires_at:
            hold.is_late = bool(hold.packs) or not ended
            hold.packs = []
        return True

    def settle(self, which: int, *, now: datetime, amount: int, rule: str) -> Outcome:
        hold = self.all_holds[which]
        self.write_down(hold, now)
        if hold.day is None and not hold.packs:
            return self.settle_late(hold, now, amount, rule)
        own = hold.day and hold.day[0]
        there = self.there(now, own)
        day_held = hold.day[1].amount if hold.day else 0
        beyond = amount - day_held - sum(share for _, share in hold.packs)
        more: int | str = 0
        if beyond > 0:
            more = self.asked(there, beyond, rule)
            if rule == "cap" and there.is_nothing:
                more = 0
        if isinstance(more, str):
            return Outcome(more)
        of_day, shares = self.taken(there, more)
        kept = min(day_held, amount)
        left, held = amount - kept, []
        for pack, share in hold.packs:
            held.append((pack, min(share, left)))
            left -= held[-1][1]
        if hold.day is not None:
            there.today = hold.day[1].day
            hold.day[1].resolved = True
        hold.day, hold.packs = None, []
        return self.charged(there, kept + of_day, [*held, *shares], max(beyond, 0) - more)

    def settle_late(self, hold: Hold, now: datetime, amount: int, rule: str) -> Outcome:
        until = hold.expires_at + timedelta(seconds=self.late_settle_seconds)
        if not hold.is_late or now >= until:
            return Outcome("hold_closed")
        outcome = self.charge(now=now, amount=amount, rule=rule, late=True)
        hold.is_late = outcome.said != "charged"
        return outcome

    def release(self, which: int, *, now: datetime) -> Outcome:
        hold = self.all_holds[which]
        self.write_down(hold, now)
        if hold.day is None and not hold.packs:
            return Outcome("hold_closed")
        if hold.day is not None:
            hold.day[1].resolved = True
        hold.day, hold.packs = None, []
        return Outcome("freed")

    def expire_open(self, which: int, *, now: datetime) -> Outcome:
        hold = self.all_holds[which]
        if hold.day is None and not hold.packs:
            return Outcome("hold_closed")
        return Outcome("freed" if self.write_down(hold, now) else "not_ended")

    # --- corrections --------------------------------------------------------------------

    def reverse(self, which: int, *, now: datetime, amount: int | None) -> Outcome:
        charge = self.charges[which]
        left = charge.amount - charge.reversed
        if not left:
            return Outcome("already_reversed")
        if amount is not None and amount > left:
            return Outcome("more_than_charged")
        wanted = left if amount is None else amount
        returned, missing, skip = 0, wanted, charge.reversed
        for pack, share in reversed(charge.packs):
            back_before = min(share, skip)
            back = min(share - back_before, missing)
            skip, missing = skip - back_before, missing - back
            pack.used -= back
            returned += back if pack.is_live(now) else 0
        if missing and charge.day is not None:
            subscription, day = charge.day
            is_current = subscription.is_current(now)
            before = self._today(subscription, now).remaining if is_current else 0
            subscription.used_on[day] -= missing
            returned += self._today(subscription, now).remaining - before if is_current else 0
        charge.reversed += wanted
        facts = {"amount": wanted, "returned": returned, "reversed": charge.reversed}
        return Outcome("reversed", facts)

    def adjust(self, *, now: datetime, by: int | None, to: int | None, allow_debt: bool) -> Outcome:
        there = self.there(now, paused_too=True)
        wanted = (to or 0) - there.remaining if by is None else by
        if wanted >= 0:
            if wanted:
                number = len(self.packs)
                self.packs.append(Pack(wanted, 50, "adjustment", now, None, number))
            return Outcome("adjusted", {"amount": wanted, "day": 0, "packs": []})
        asked = self.asked(there, -wanted, "record" if allow_debt else "reject")
        if isinstance(asked, str):
            return Outcome(asked)
        of_day, shares = self.taken(there, asked)
        if there.subscription is not None and there.today is not None:
            adjusted = there.subscription.adjusted_on
            adjusted[there.today] = adjusted.get(there.today, 0) + of_day
        for pack, share in shares:
            pack.taken_back += share
        packs = [(pack.number, share) for pack, share in shares]
        return Outcome("adjusted", {"amount": wanted, "day": of_day, "packs": packs})

    # --- what is asked ------------------------------------------------------------------

    def shortfall(self, *, now: datetime, amount: int) -> dict[str, Any]:
        """Say why a charge of an amount is refused, and the first midnight from which it passes."""
        there = self.there(now)
        available_at = None
        if there.may_spend and there.subscription is not None and there.today is not None:
            day = there.today + ONE_DAY
            while available_at is None and day < there.subscription.end_day():
                begins = local_midnight(day, there.subscription.zone)
                if self.there(begins, there.subscription).remaining >= amount:
                    available_at = begins
                day += ONE_DAY
        limit = "subscription" if there.may_spend or there.is_nothing else "credits"
        return {
            "limit": limit if available_at is None else "daily",
            "remaining_credits": 0 if there.is_nothing else there.remaining,
            "required_credits": amount,
            "available_at": available_at,
        }

    def status(self, *, now: datetime) -> dict[str, Any]:
        answer = super().status(now=now)
        live = self.live(now)
        something = [
            pack.given - pack.taken_back
            for pack, left in live
            if left
            or any(now < h.expires_at and pack in [p for p, _ in h.packs] for h in self.all_holds)
        ]
        of_day, of_packs = answer["remaining_credits"], sum(left for _, left in live)
        remaining = of_day + of_packs
        given = answer["daily_credit_limit"] + answer["credits_rolled_over"] + sum(something)
        is_there = self._current(now) is not None or bool(something)
        return answer | {
            "day_remaining_credits": of_day,
            "pack_credits": of_packs,
            "remaining_credits": remaining,
            "low_credits": is_there and remaining * 100 <= self.low_credits_percent * given,
        }


def told_of(charge: Charge) -> dict[str, Any]:
    return {
        "day": charge.day_amount,
        "packs": [(pack.number, share) for pack, share in charge.packs],
        "uncovered": charge.uncovered,
        "late": charge.late,
    }
