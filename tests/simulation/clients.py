"""Clients: what they ask for, what they repeat, and what they make of the answers."""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from actors.calls import Call, Outcome, Reply
from actors.router import Router
from domain.charges import OnInsufficient
from domain.holds import PlaceHold, ReleaseHold, SettleHold
from domain.messages import AddCredit, ChangeSubscription, Command, OpenDay, RecordUsage
from domain.payments import Payment
from domain.values import Credits, Status, UserId
from tests.simulation.auditor import Auditor, Sent
from tests.simulation.books import require

ZONES = (None, None, "Europe/Berlin", "America/New_York", "Asia/Tokyo")
HOLD_SECONDS = (1, 2, 5, 30, 3_600, 86_400)
DUEL_SECONDS = 0.008  # A message takes up to half of it; the settlement is sent before the expiry.
HOLDS_TRIED = 4  # Of the newest holds of a user one is settled or released.
STATUSES = (None, Status.ACTIVE, Status.PAST_DUE, Status.PAUSED, Status.CANCELLED)


@dataclass(frozen=True)
class Asked:
    """A command as it was sent, to be repeated."""

    call: Call
    sent: Sent


class Client:
    """Sends one thing after the other, and tells the auditor of each."""

    def __init__(  # noqa: PLR0917 - what a client knows
        self,
        name: str,
        router: Router,
        auditor: Auditor,
        dice: random.Random,
        users: list[str],
        clock: Callable[[], datetime],
        is_doubtful: Callable[[str], bool],
        duels: float,
    ) -> None:
        """`is_doubtful`: a read of this user may be answered by somebody who lags."""
        self.duels: list[tuple[str, str, bool]] = []
        """Users and holds that were settled as they expired; whether the settlement won."""
        self._duels = duels
        self._name = name
        self._router = router
        self._auditor = auditor
        self._dice = dice
        # Dice of their own: what else a seed decides stays.
        self._zones = random.Random(f"zones {dice.getstate()[1][:3]}")
        self._users = users
        self._clock = clock
        self._is_doubtful = is_doubtful
        self._numbers = count(1)
        self._asked: list[Asked] = []

    async def work(self, commands: int, pause_seconds: float) -> None:
        for _ in range(commands):
            await asyncio.sleep(self._dice.uniform(0, pause_seconds))
            roll = self._dice.random()
            if self._dice.random() < self._duels:
                await self._duel(self._dice.choice(self._users))
            elif roll < 0.25:
                await self.read(self._dice.choice(self._users))
            elif roll < 0.4 and self._asked:
                await self._repeat(self._dice.choice(self._asked))
            elif roll < 0.5:
                await self._send_many([self._ask() for _ in range(self._dice.randrange(2, 6))])
            else:
                await self._send(self._ask())

    async def ask(self, user_id: str) -> None:
        """Ask for something of one user."""
        await self._send(self._own(*self._command(user_id)))

    async def _duel(self, user_id: str) -> None:
        """Settle a hold when it is over, a little before or after."""
        asked = self._own(*self._hold(UserId(user_id), self._dice.choice((1, 2))))
        reply = await self._send(asked)
        if reply.outcome is not Outcome.DONE:
            await self._send(self._own(*self._addition(UserId(user_id))))
            return
        hold = json.loads(reply.body or b"")
        over_at = datetime.fromisoformat(hold["expires_at"])
        seconds = (over_at - self._clock()).total_seconds() - self._dice.uniform(0, DUEL_SECONDS)
        await asyncio.sleep(max(seconds, 0.0))
        settle = SettleHold(UserId(user_id), hold["hold_id"], Credits(0))
        fields = {"does": "settle", "hold": hold["hold_id"], "amount": 0, "record": False}
        reply = await self._send(self._own(settle, fields))
        if reply.outcome in (Outcome.DONE, Outcome.REFUSED):
            self.duels.append((user_id, hold["hold_id"], reply.outcome is Outcome.DONE))

    def _own(self, command: Command, fields: dict[str, Any]) -> Asked:
        """Return a command under a key of the client's own, to be repeated later."""
        asked = self._asked_for(command, fields, f"{self._name} {next(self._numbers)}", keep=True)
        self._asked.append(asked)
        return asked

    async def repeat_some(self, share: float) -> None:
        """Ask again what was asked before: it must be answered as before."""
        for asked in self._asked:
            if self._dice.random() < share:
                reply = await self._repeat(asked)
                answered = reply.outcome in (Outcome.DONE, Outcome.REFUSED)
                require(answered, "a repeat has no answer at rest", asked=asked, reply=reply)

    async def read(self, user_id: str) -> Reply:
        doubtful = self._is_doubtful(user_id)
        at_least = self._auditor.acknowledged(user_id)
        reply = await self._router.status(UserId(user_id))
        if reply.outcome is Outcome.DONE:
            assert reply.body is not None, "what is done has a body"
            doubtful = doubtful or self._is_doubtful(user_id)
            self._auditor.read(user_id, 0 if doubtful else at_least, reply.body)
        return reply

    async def _repeat(self, asked: Asked) -> Reply:
        if self._dice.random() < 0.2:
            other = self._command(asked.sent.user_id)
            asked = self._asked_for(*other, asked.call.key, keep=True)
        return await self._send(asked)

    def _ask(self) -> Asked:
        command, fields = self._command(self._dice.choice(self._users))
        if self._dice.random() < 0.6:
            return self._own(command, fields)
        return self._asked_for(command, fields, f"{self._name} {next(self._numbers)}", keep=False)

    def _asked_for(
        self, command: Command, fields: dict[str, Any], key: str, *, keep: bool
    ) -> Asked:
        sent = Sent(command.user_id, key, tuple(fields.items()))
        return Asked(Call(command, key, keep_refusal=keep), sent)

    async def _send(self, asked: Asked) -> Reply:
        self._auditor.sends(asked.sent)
        reply = await self._router.call(asked.call)
        self._hear(asked, reply)
        return reply

    async def _send_many(self, many: list[Asked]) -> None:
        for asked in many:
            self._auditor.sends(asked.sent)
        replies = await self._router.calls([asked.call for asked in many])
        for asked, reply in zip(many, replies, strict=True):
            self._hear(asked, reply)

    def _hear(self, asked: Asked, reply: Reply) -> None:
        require(reply.outcome is not Outcome.MOVED, "a client was told of the directory")
        kept = asked.call.keep_refusal
        if reply.outcome is Outcome.DONE:
            assert reply.body is not None, "what is done has a body"
            self._auditor.told(asked.sent, "done", reply.body.decode(), kept=kept)
        elif reply.outcome is Outcome.REFUSED:
            assert reply.refusal is not None, "what is refused has a reason"
            self._auditor.told(asked.sent, "refused", str(reply.refusal.reason), kept=kept)

    def _command(self, user_id: str) -> tuple[Command, dict[str, Any]]:
        user, roll = UserId(user_id), self._dice.random()
        if roll < 0.2:
            return self._addition(user)
        if roll < 0.27:
            return OpenDay(user), {"does": "open"}
        if roll < 0.35 and (known := self._auditor.subscription_ids(user_id)):
            return self._change(user, self._dice.choice(known))
        if roll < 0.55:
            return self._hold(user, self._dice.choice(HOLD_SECONDS))
        if roll < 0.78 and (holds := self._auditor.holds(user_id)[-HOLDS_TRIED:]):
            return self._resolve(user, self._dice.choice(holds))
        amount = self._dice.choice((0, 1, 7, 20, 60, 150))
        record, mode = self._mode()
        command = RecordUsage(user, "chat", Credits(amount), on_insufficient=mode)
        return command, {"does": "use", "amount": amount, "record": record}

    def _mode(self) -> tuple[bool, OnInsufficient]:
        record = self._dice.random() < 0.3
        return record, OnInsufficient.RECORD if record else OnInsufficient.REJECT

    def _hold(self, user: UserId, seconds: int) -> tuple[Command, dict[str, Any]]:
        amount = self._dice.choice((0, 1, 7, 20, 60))
        record, mode = self._mode()
        command = PlaceHold(user, "chat", Credits(amount), seconds, on_insufficient=mode)
        return command, {"does": "hold", "amount": amount, "seconds": seconds, "record": record}

    def _resolve(self, user: UserId, hold_id: str) -> tuple[Command, dict[str, Any]]:
        if self._dice.random() < 0.3:
            return ReleaseHold(user, hold_id), {"does": "release", "hold": hold_id}
        amount = self._dice.choice((0, 1, 7, 20, 60, 150))
        record, mode = self._mode()
        command = SettleHold(user, hold_id, Credits(amount), on_insufficient=mode)
        return command, {"does": "settle", "hold": hold_id, "amount": amount, "record": record}

    def _addition(self, user: UserId) -> tuple[Command, dict[str, Any]]:
        amount, days = self._dice.randrange(1, 500), self._dice.randrange(1, 5)
        transaction = f"t-{self._dice.randrange(30)}"
        zone = self._dice.choice(ZONES)
        payment = Payment("card", transaction, 999, "eur")
        fields = {
            "does": "add",
            "amount": amount,
            "days": days,
            "transaction": transaction,
            "zone": zone,
        }
        return AddCredit(user, Credits(amount), days, payment, zone), fields

    def _change(self, user: UserId, subscription_id: str) -> tuple[Command, dict[str, Any]]:
        status, end = self._dice.choice(STATUSES), None
        if status is None or self._dice.random() < 0.3:
            hours = self._dice.randrange(-40, 60)
            end = self._clock().replace(microsecond=0) + timedelta(hours=hours)
        zone = self._zones.choice(ZONES) if self._zones.random() < 0.6 else None
        fields = {"does": "change", "subscription_id": subscription_id, "status": status}
        command = ChangeSubscription(user, subscription_id, status, end, zone)
        return command, {**fields, "end": end, "zone": zone}
