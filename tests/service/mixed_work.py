"""Mixed work over many connections, and the books of what was acknowledged.

Every worker repeats a request, with its key, until it is answered for good. What it was told goes
into the books: which usage record has which amount, how much was granted to whom.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.service.load import CONNECTIONS, Answering, open_client

GRANT = 60_000  # Credits of one payment, for 30 days.
AMOUNT_MAX = 6
RECORDS_MAX = 5  # Of one batch.
HOLD_SECONDS_MAX = 6
PAUSE_SECONDS = 0.2  # Before a request is repeated.
REPEATS_MAX = 1_000
TOLD_LENGTH_MAX = 200  # Characters of an answer that nobody expects.


@dataclass
class Books:
    """What the callers were told."""

    charged: dict[str, int] = field(default_factory=dict)
    """Usage records and their credits, of the users that nobody else edits."""
    charged_edited: dict[str, int] = field(default_factory=dict)
    """The same of users whose documents another program edits."""
    granted: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    slowest: float = 0.0
    """How long the slowest request took from its first sending to its answer, in seconds."""
    longest: float = 0.0
    """How long the longest single sending waited for an answer, 503 or not, in seconds."""


class Workers:
    """Does what applications do, at random, until it is told to stop.

    `edited` are users whose documents another program edits; there may be none.
    """

    def __init__(
        self,
        users: Sequence[str],
        edited: Sequence[str],
        seed: int,
        connections: int = CONNECTIONS,
    ) -> None:
        self.books = Books()
        self._users = users
        self._edited = edited
        self._connections = connections
        self._dice = random.Random(seed)
        self._keys = (f"soak-{seed}-{number}" for number in itertools.count())
        self._stopping = asyncio.Event()
        self._client: httpx.AsyncClient
        self.granted = asyncio.Event()
        """Every user has credits."""

    async def run(self, place: Answering) -> None:
        """Grant every user credits, then work; return when every request is answered."""
        async with open_client(place) as self._client:
            for first in range(0, len(self._users), self._connections):
                part = self._users[first : first + self._connections]
                await asyncio.gather(*(self._grant(user) for user in part))
            self.granted.set()
            async with asyncio.TaskGroup() as group:
                for _ in range(self._connections):
                    group.create_task(self._work())

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    async def _work(self) -> None:
        kinds: dict[Callable[[str], Awaitable[None]], int] = {
            self._charge: 8,
            self._charge_edited: 3 if self._edited else 0,
            self._status: 6,
            self._batch: 2,
            self._hold: 4,
            self._grant: 1,
            self._month: 1,
            self._list: 1,
        }
        while not self._stopping.is_set():
            (work,) = self._dice.choices(list(kinds), list(kinds.values()))
            await work(self._dice.choice(self._users))

    async def _send(self, kind: str, method: str, path: str, **named: Any) -> httpx.Response:
        """Send a request, with one key, until it is answered for good."""
        headers = {"Idempotency-Key": next(self._keys)} if method != "GET" else {}
        began = time.monotonic()
        for _ in range(REPEATS_MAX):
            sent = time.monotonic()
            try:
                answer = await self._client.request(method, path, headers=headers, **named)
            except httpx.TransportError:
                answer = None
            self.books.longest = max(self.books.longest, time.monotonic() - sent)
            if answer is not None and answer.status_code < 500:
                self.books.answers[f"{kind} {answer.status_code}"] += 1
                self.books.slowest = max(self.books.slowest, time.monotonic() - began)
                return answer
            if answer is not None and (answer.status_code, "Retry-After" in answer.headers) != (
                503,
                True,
            ):
                told = f"{kind} {answer.status_code} {answer.text[:TOLD_LENGTH_MAX]}"
                self.books.answers[f"unexpected: {told}"] += 1
            self.books.repeats += 1
            await asyncio.sleep(PAUSE_SECONDS * self._dice.uniform(0.5, 1.5))
        raise AssertionError(f"{method} {path} was not answered after {REPEATS_MAX} repeats")

    def _usage(self, user: str) -> dict[str, Any]:
        amount = self._dice.randrange(AMOUNT_MAX)
        return {"user_id": user, "service_type": "chat", "credit_amount": amount}

    def _note(self, answer: httpx.Response) -> None:
        if answer.status_code == 201:
            self.books.charged[answer.json()["usage_id"]] = answer.json()["credit_amount"]

    async def _charge(self, user: str) -> None:
        self._note(await self._send("usage", "POST", "/subscription/usage", json=self._usage(user)))

    async def _charge_edited(self, _: str) -> None:
        body = self._usage(self._dice.choice(self._edited))
        answer = await self._send("edited usage", "POST", "/subscription/usage", json=body)
        if answer.status_code == 201:
            charged = answer.json()
            self.books.charged_edited[charged["usage_id"]] = charged["credit_amount"]

    async def _status(self, user: str) -> None:
        edited = self._dice.choice(self._edited) if self._edited else user
        params = {"user_id": self._dice.choice([user, edited])}
        await self._send("status", "GET", "/subscription/status", params=params)

    async def _batch(self, user: str) -> None:
        users = [user, *self._dice.choices(self._users, k=self._dice.randrange(RECORDS_MAX))]
        records = [self._usage(one) | {"idempotency_key": next(self._keys)} for one in users]
        while records:  # What was not decided is sent again, under its own key.
            answer = await self._send(
                "batch", "POST", "/subscription/usage/batch", json={"records": records}
            )
            results = answer.raise_for_status().json()["results"]
            for result in results:
                if result["status"] == 201:
                    record = result["record"]
                    self.books.charged[record["usage_id"]] = record["credit_amount"]
            records = [
                record
                for record, result in zip(records, results, strict=True)
                if result["status"] >= 500
            ]

    async def _hold(self, user: str) -> None:
        """Set credits aside; settle most, release some, and let the others expire."""
        body = self._usage(user) | {"expires_in": self._dice.randint(1, HOLD_SECONDS_MAX)}
        placed = await self._send("hold", "POST", "/subscription/holds", json=body)
        chance = self._dice.random()
        if placed.status_code != 201 or chance < 0.1:
            return
        path = f"/subscription/holds/{placed.json()['hold_id']}"
        if chance < 0.3:
            await self._send("release", "DELETE", path)
            return
        cost = {"credit_amount": self._dice.randrange(AMOUNT_MAX + 2)}
        self._note(await self._send("settle", "POST", f"{path}/settle", json=cost))

    async def _grant(self, user: str) -> None:
        number = self._dice.randrange(2**60)
        payment = {"method": "card", "transaction_id": f"{number}", "amount": 1, "currency": "eur"}
        body = {"user_id": user, "amount": GRANT, "days": 30, "payment": payment}
        answer = await self._send("credits", "POST", "/subscription/credits", json=body)
        assert answer.status_code == 201, answer.text
        self.books.granted[user] += GRANT

    async def _month(self, user: str) -> None:
        params = {"user_id": user}
        status = await self._send("status", "GET", "/subscription/status", params=params)
        params["month"] = status.json()["as_of"][:7]  # The service's month: it may be another now.
        await self._send("month", "GET", "/subscription/usage/monthly", params=params)

    async def _list(self, user: str) -> None:
        params: dict[str, Any] = {"user_id": user, "limit": 20}
        await self._send("list", "GET", "/subscription/usage", params=params)
