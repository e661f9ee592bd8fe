"""What a client may ask for, by dice: commands, and the same in the auditor's words."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from domain.charges import OnInsufficient
from domain.corrections import AdjustCredits, ReverseUsage
from domain.holds import PlaceHold, ReleaseHold, SettleHold
from domain.messages import AddCredit, ChangeSubscription, Command, OpenDay, RecordUsage
from domain.pack_messages import AddPack
from domain.packs import Category
from domain.payments import Payment
from domain.values import Credits, Status, UserId
from tests.simulation.auditor import Auditor

ZONES = (None, None, "Europe/Berlin", "America/New_York", "Asia/Tokyo")
HOLD_SECONDS = (1, 2, 5, 30, 3_600, 86_400)
PACK_SECONDS = (-1, 1, 3, 5, 10, 3_600, 100_000)
HOLDS_TRIED = 4  # Of the newest holds of a user one is settled or released.
USAGES_TRIED = 6
ALL = 2_000
STATUSES = (None, Status.ACTIVE, Status.PAST_DUE, Status.PAUSED, Status.CANCELLED)
PACKS_ALONE = (
    "258"  # Users by their last digit who buy nothing else: what days give often suffices.
)
NOBODYS = "f" * 24  # The id of a charge that there never was.

Wish = tuple[Command, dict[str, Any]]


class CommandDice:
    """Rolls commands for users."""

    def __init__(
        self, dice: random.Random, auditor: Auditor, clock: Callable[[], datetime]
    ) -> None:
        self._dice = dice
        # Dice of their own: what else a seed decides stays.
        self._zones = random.Random(f"zones {dice.getstate()[1][:3]}")
        self._auditor = auditor
        self._clock = clock

    def command(self, user_id: str) -> Wish:
        """Return something that a client may ask for."""
        user, roll = UserId(user_id), self._dice.random()
        kinds = (
            (0.14, self.addition),
            (0.27, self._pack),
            (0.32, self._adjustment),
            (0.41, self.reversal),
            (0.44, self._opening),
            (0.49, self._change),
            (0.64, self._hold_of_some_time),
            (0.83, self._resolve),
        )
        rolled = next((kind for below, kind in kinds if roll < below), self._use)
        if rolled == self.addition and user[-1] in PACKS_ALONE:
            rolled = self._pack
        return rolled(user) or self._use(user)

    def _use(self, user: UserId) -> Wish:
        amount, rule = self._dice.choice((0, 1, 7, 20, 60, 150)), self._rule()
        command = RecordUsage(user, "chat", Credits(amount), on_insufficient=rule)
        return command, {"does": "use", "amount": amount, "rule": str(rule)}

    def _opening(self, user: UserId) -> Wish:
        return OpenDay(user), {"does": "open"}

    def _hold_of_some_time(self, user: UserId) -> Wish:
        return self.hold(user, self._dice.choice(HOLD_SECONDS))

    def _rule(self, *, may_cap: bool = True) -> OnInsufficient:
        roll = self._dice.random()
        if roll < 0.25:
            return OnInsufficient.RECORD
        return OnInsufficient.CAP if may_cap and roll < 0.4 else OnInsufficient.REJECT

    def hold(self, user: UserId, seconds: int) -> Wish:
        amount, rule = self._dice.choice((0, 1, 7, 20, 60, 90)), self._rule(may_cap=False)
        least = self._dice.randrange(amount + 1) if self._dice.random() < 0.3 else None
        if self._dice.random() < 0.2:  # All that there is, of the day and of packs.
            amount, least = ALL, self._dice.choice((0, 1, 50))
        command = PlaceHold(
            user,
            "chat",
            Credits(amount),
            seconds,
            on_insufficient=rule,
            at_least=None if least is None else Credits(least),
        )
        fields = {"does": "hold", "amount": amount, "seconds": seconds, "rule": str(rule)}
        return command, fields | {"at_least": least}

    def _resolve(self, user: UserId) -> Wish | None:
        holds = self._auditor.holds(user)[-HOLDS_TRIED:]
        if not holds:
            return None
        hold_id = self._dice.choice(holds)
        if self._dice.random() < 0.3:
            return ReleaseHold(user, hold_id), {"does": "release", "hold": hold_id}
        return self.settlement(user, hold_id, self._dice.choice((0, 1, 7, 20, 60, 150)))

    def settlement(self, user: UserId, hold_id: str, amount: int) -> Wish:
        fields = {"does": "settle", "hold": hold_id, "amount": amount}
        if self._dice.random() < 0.4:  # By the rule that holds where none is told.
            return SettleHold(user, hold_id, Credits(amount)), {**fields, "rule": "cap"}
        rule = self._rule()
        command = SettleHold(user, hold_id, Credits(amount), on_insufficient=rule)
        return command, {**fields, "rule": str(rule)}

    def addition(self, user: UserId) -> Wish:
        amount, days = self._dice.randrange(1, 500), self._dice.randrange(1, 5)
        zone, payment = self._dice.choice(ZONES), self._payment()
        fields = {
            "does": "add",
            "amount": amount,
            "days": days,
            "transaction": payment.transaction_id,
            "zone": zone,
        }
        return AddCredit(user, Credits(amount), days, payment, zone), fields

    def _payment(self) -> Payment:
        return Payment("card", f"t-{self._dice.randrange(30)}", 999, "eur")

    def _pack(self, user: UserId) -> Wish:
        amount, payment = self._dice.randrange(1, 200), self._payment()
        category = self._dice.choice((Category.PAID, Category.PAID, Category.PROMOTIONAL))
        priority, ends = self._dice.choice((50, 50, 50, 0, 100)), self._expiry()
        fields = {
            "does": "add pack",
            "amount": amount,
            "transaction": payment.transaction_id,
            "expires_at": ends,
            "priority": priority,
            "category": str(category),
        }
        return AddPack(user, Credits(amount), payment, ends, priority, category), fields

    def _expiry(self) -> datetime | None:
        if self._dice.random() < 0.4:
            return None
        seconds = self._dice.choice(PACK_SECONDS)
        return self._clock().replace(microsecond=0) + timedelta(seconds=seconds)

    def reversal(self, user: UserId) -> Wish | None:
        """Return a reversal of a charge; None: nothing was charged yet."""
        usages = self._auditor.usages(user)
        if not usages:
            return None
        usage = self._dice.choice(usages[-USAGES_TRIED:])
        if self._dice.random() < 0.05:
            usage = NOBODYS
        amount = self._dice.choice((None, None, 1, 5, 30))
        part = None if amount is None else Credits(amount)
        command = ReverseUsage(user, usage, part, "the job failed")
        return command, {"does": "reverse", "usage": usage, "amount": amount}

    def _adjustment(self, user: UserId) -> Wish:
        amount, remaining = None, None
        if self._dice.random() < 0.5:
            amount = self._dice.choice((-150, -40, -5, 10, 80))
        else:
            remaining = self._dice.choice((0, 50, 200))
        ends = self._expiry() if self._dice.random() < 0.3 else None
        debt = self._dice.random() < 0.4
        command = AdjustCredits(
            user,
            None if amount is None else Credits(amount),
            None if remaining is None else Credits(remaining),
            "a mistake",
            ends,
            debt,
        )
        fields = {"does": "adjust", "amount": amount, "remaining": remaining}
        return command, fields | {"expires_at": ends, "allow_debt": debt}

    def _change(self, user: UserId) -> Wish | None:
        known = self._auditor.subscription_ids(user)
        if not known:
            return None
        subscription_id = self._dice.choice(known)
        status, end = self._dice.choice(STATUSES), None
        if status is None or self._dice.random() < 0.3:
            hours = self._dice.randrange(-40, 60)
            end = self._clock().replace(microsecond=0) + timedelta(hours=hours)
        zone = self._zones.choice(ZONES) if self._zones.random() < 0.6 else None
        fields = {"does": "change", "subscription_id": subscription_id, "status": status}
        command = ChangeSubscription(user, subscription_id, status, end, zone)
        return command, {**fields, "end": end, "zone": zone}
