"""Clients: what they ask for, what they repeat, and what they make of the answers."""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from actors.protocol.calls import Call, Outcome, Reply
from actors.routing.router import Router
from domain.messages import Command
from domain.values import UserId
from tests.simulation.auditor import Auditor, Sent
from tests.simulation.books import require
from tests.simulation.command_dice import CommandDice, Wish

DUEL_SECONDS = 0.008  # A message takes up to half of it; the settlement is sent before the expiry.


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
        self._users = users
        self._clock = clock
        self._is_doubtful = is_doubtful
        self._numbers = count(1)
        self.wishes = CommandDice(dice, auditor, clock)
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
            elif roll < 0.45 and (charged := self._charged()):
                await self._send_many([self._own(*charged) for _ in range(2)])
            elif roll < 0.53:
                await self._send_many([self._ask() for _ in range(self._dice.randrange(2, 6))])
            else:
                await self._send(self._ask())

    async def ask(self, user_id: str) -> None:
        """Ask for something of one user."""
        await self._send(self._own(*self.wishes.command(user_id)))

    async def _duel(self, user_id: str) -> None:
        """Settle a hold when it is over, a little before or after."""
        asked = self._own(*self.wishes.hold(UserId(user_id), self._dice.choice((1, 2))))
        reply = await self._send(asked)
        if reply.outcome is not Outcome.DONE:
            await self._send(self._own(*self.wishes.addition(UserId(user_id))))
            return
        hold = json.loads(reply.body or b"")
        over_at = datetime.fromisoformat(hold["expires_at"])
        seconds = (over_at - self._clock()).total_seconds() - self._dice.uniform(0, DUEL_SECONDS)
        await asyncio.sleep(max(seconds, 0.0))
        settle = self.wishes.settlement(UserId(user_id), hold["hold_id"], 0)
        reply = await self._send(self._own(*settle))
        if reply.outcome in (Outcome.DONE, Outcome.REFUSED):
            self.duels.append((user_id, hold["hold_id"], reply.outcome is Outcome.DONE))

    def _charged(self) -> Wish | None:
        """Return a reversal, to be asked for twice at once under different keys."""
        charged = [user for user in self._users if self._auditor.usages(user)]
        return self.wishes.reversal(UserId(self._dice.choice(charged))) if charged else None

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
            other = self.wishes.command(asked.sent.user_id)
            asked = self._asked_for(*other, asked.call.key, keep=True)
        return await self._send(asked)

    def _ask(self) -> Asked:
        command, fields = self.wishes.command(self._dice.choice(self._users))
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
