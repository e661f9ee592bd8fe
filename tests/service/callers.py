"""Callers that charge and read while something is broken, and the books they keep.

Every caller has a user of its own and repeats each charge, with its key, until it is acknowledged.
The key goes along as the session, so that the database tells which charges it has, and how often.
"""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx

from actors.mongo.embedded_wire import Documents
from tests.patience import PATIENCE_SECONDS

CALLERS = 8  # Each charges one user, and reads another one's status beside it.
AMOUNT = 30_000_000  # Nobody runs out of credits.
PAUSE_SECONDS = 0.02  # Between two calls of one caller.
TIMEOUT_SECONDS = 30.0
SETTLE_SECONDS_MAX = PATIENCE_SECONDS  # From the last acknowledgement until it is in the views.


class Answer(NamedTuple):
    """One request: when it was sent, how long it took, and what came (0: no HTTP answer)."""

    caller: int
    at: float
    seconds: float
    code: int


class Charged(NamedTuple):
    """One charge from its first sending to its acknowledgement."""

    caller: int
    key: str
    at: float
    seconds: float


@dataclass
class Books:
    """What all callers saw."""

    charges: list[Answer] = field(default_factory=list)
    reads: list[Answer] = field(default_factory=list)
    charged: list[Charged] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def recovered_after(self, moment: float) -> float:
        """Return how long after a moment every caller had had a charge acknowledged again."""
        firsts: dict[int, float] = {}
        for one in self.charged:
            ended = one.at + one.seconds
            if ended > moment:
                firsts[one.caller] = min(firsts.get(one.caller, ended), ended)
        return max(firsts.values(), default=moment) - moment

    def has_recovered(self, moment: float) -> bool:
        """Whether every caller has sent a charge after this moment, and had it acknowledged."""
        return len({one.caller for one in self.charged if one.at > moment}) == CALLERS


class Callers:
    """Calls as long as the block; at its end every charge that was begun is acknowledged."""

    def __init__(self, address: str, key: str, run: str, pause: float = PAUSE_SECONDS) -> None:
        """`pause`: between two calls of one caller; what is long leaves the cores to the service."""
        self.books = Books()
        self._pause = pause
        self.users = [f"faults-{number}" for number in range(CALLERS)]
        self._run = run
        self._stopping = asyncio.Event()
        self._client = httpx.AsyncClient(
            base_url=address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT_SECONDS,
        )

    @contextlib.asynccontextmanager
    async def calling(self) -> AsyncIterator[Books]:
        async with self._client:
            await asyncio.gather(*map(self._add_credits, self.users))
            tasks = [
                asyncio.create_task(work)
                for number in range(CALLERS)
                for work in (self._charge_all(number), self._read_all(number))
            ]
            try:
                yield self.books
            finally:
                self._stopping.set()
                await asyncio.gather(*tasks)

    async def _add_credits(self, user: str) -> None:
        payment = {"method": "card", "transaction_id": "t", "amount": 1, "currency": "eur"}
        body = {"user_id": user, "amount": AMOUNT, "days": 300, "payment": payment}
        added = await self._client.post("/subscription/credits", json=body)
        assert added.status_code in {201, 422}, added.text  # 422: an earlier run has paid.

    async def _charge_all(self, caller: int) -> None:
        for number in itertools.count():
            if self._stopping.is_set():
                return
            await self._charge(caller, f"{self._run}-{caller}-{number}")
            await asyncio.sleep(self._pause)

    async def _charge(self, caller: int, key: str) -> None:
        began = time.monotonic()
        body = {"user_id": self.users[caller], "service_type": "chat", "credit_amount": 1}
        body["session_id"] = key
        while True:
            sent = time.monotonic()
            answer = await self._send(
                "POST", "/subscription/usage", json=body, headers={"Idempotency-Key": key}
            )
            now = time.monotonic()
            self.books.charges.append(Answer(caller, sent, now - sent, code_of(answer)))
            if answer is not None and answer.status_code == 201:
                self.books.charged.append(Charged(caller, key, began, now - began))
                return
            await asyncio.sleep(self._pause_after(answer))

    async def _read_all(self, caller: int) -> None:
        while not self._stopping.is_set():
            sent = time.monotonic()
            params = {"user_id": self.users[caller]}
            answer = await self._send("GET", "/subscription/status", params=params)
            seconds = time.monotonic() - sent
            self.books.reads.append(Answer(caller, sent, seconds, code_of(answer)))
            failed = answer is None or answer.status_code != 200
            await asyncio.sleep(self._pause_after(answer) if failed else self._pause)

    async def _send(self, method: str, path: str, **named: Any) -> httpx.Response | None:
        try:
            return await self._client.request(method, path, **named)
        except httpx.TransportError:
            return None

    def _pause_after(self, answer: httpx.Response | None) -> float:
        """Return how long to wait before a repeat: what the service asks for."""
        if answer is None:
            return PAUSE_SECONDS
        if answer.status_code != 503 or "Retry-After" not in answer.headers:
            told = answer.headers.get("Retry-After")
            self.books.problems.append(f"{answer.status_code}, Retry-After {told}: {answer.text}")
        return float(answer.headers.get("Retry-After", 1))


def code_of(answer: httpx.Response | None) -> int:
    """Return the status of an answer; 0 where none came."""
    return 0 if answer is None else answer.status_code


@dataclass(frozen=True)
class Audit:
    """The callers' books beside the database's."""

    lost: int
    """Acknowledged, and not in the database."""
    doubled: int
    unknown: int
    """In the database, and never acknowledged."""


async def audit(books: Books, run: str, database: Documents) -> Audit:
    """Compare once the views have settled."""
    told = Counter(one.key for one in books.charged)
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while True:
        kept = await asyncio.to_thread(_kept, run, database)
        found = Audit(
            lost=len(told - kept),
            doubled=sum(count - 1 for count in kept.values()),
            unknown=len(set(kept) - set(told)),
        )
        if found == Audit(0, 0, 0) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.5)


def _kept(run: str, database: Documents) -> Counter[str]:
    where = {"session_id": {"$gte": f"{run}-", "$lt": f"{run}."}}  # "." follows "-".
    return Counter(str(usage["session_id"]) for usage in database.usages.find(where))
