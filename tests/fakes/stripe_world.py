"""Stripe's work on a shard in this process: a Stripe in a dict, and events as it would send them."""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from actors.protocol.calls import Call, Envelope, Reply
from actors.protocol.errors import UnavailableError
from actors.runtime.clock import ServiceClock
from actors.shard.shard import Shard
from actors.stripe.applier import Applier, Turns
from actors.stripe.lookups import REQUESTS_PER_SECOND, Lookups
from actors.stripe.pace import Pace
from actors.stripe.payloads import read_event
from actors.stripe.records import EventState
from actors.stripe.worker import StripeWork
from domain.api.answers import CreditStatusResponse
from domain.subscription import Subscription
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.memory_store import MemoryStore
from tests.fakes.memory_stripe import FakeStripe, MemoryStripe
from tests.fakes.shards import Clock, running, status

BEGAN = int(NOON.timestamp()) - 3 * 3600
MONTH = 30 * 86_400
ADA = UserId("ada")


def subscription(
    name: str = "sub_1", *, status: str = "active", user: str | None = "ada", **fields: Any
) -> dict[str, Any]:
    """Describe a subscription in today's shape: one price of 3,000 credits."""
    item = {
        "id": "si_1",
        "price": {"id": "price_1", "metadata": {"allotment_credits": "3000"}},
        "quantity": 1,
        "current_period_start": BEGAN,
        "current_period_end": BEGAN + MONTH,
    }
    return {
        "id": name,
        "object": "subscription",
        "customer": "cus_1",
        "status": status,
        "created": BEGAN,
        "metadata": {} if user is None else {"user_id": user},
        "items": {"data": [item], "has_more": False},
        "cancel_at": None,
        "cancel_at_period_end": False,
        "ended_at": None,
    } | fields


def invoice(
    name: str = "in_1", of: str = "sub_1", period: int = 0, **fields: Any
) -> dict[str, Any]:
    """Describe a paid invoice in today's shape. `period`: how many periods after the first."""
    start = BEGAN + period * MONTH
    line = {
        "id": f"il_{name}",
        "amount": 2900,
        "currency": "eur",
        "quantity": 1,
        "period": {"start": start, "end": start + MONTH},
        "pricing": {"price_details": {"price": "price_1", "product": "prod_1"}},
        "parent": {"subscription_item_details": {"proration": False}},
    }
    return {
        "id": name,
        "object": "invoice",
        "customer": "cus_1",
        "currency": "eur",
        "parent": {"subscription_details": {"subscription": of}},
        "lines": {"data": [line], "has_more": False},
    } | fields


def event(name: str, kind: str, about: dict[str, Any], at: int = 0, **fields: Any) -> str:
    """Describe an event, `at` seconds after the beginning, as the text that is delivered."""
    return json.dumps(
        {
            "id": f"evt_{name}",
            "object": "event",
            "type": kind,
            "created": BEGAN + at,
            "livemode": False,
            "data": {"object": about},
        }
        | fields
    )


class OneShardRouter:
    """Sends every call to one shard."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.calls_seen: list[Call] = []
        self._until_failure = -1

    def fail_once(self, *, after: int = 0) -> None:
        """Let the shard be away for one message, after so many."""
        self._until_failure = after

    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        self.calls_seen += calls
        self._until_failure -= 1
        if self._until_failure == -1:
            raise UnavailableError
        return await self.shard.handle(Envelope(self.shard.table.version, tuple(calls)))


@dataclass
class StripeWorld:
    shard: Shard
    clock: Clock
    store: MemoryStore
    ledger: MemoryStripe = field(default_factory=MemoryStripe)
    stripe: FakeStripe = field(default_factory=FakeStripe)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.router = OneShardRouter(self.shard)
        self.service_clock = ServiceClock(self.clock)
        self.stripe.objects["price_1"] = {
            "id": "price_1",
            "unit_amount": 2900,
            "metadata": {"allotment_credits": "3000"},
        }
        self.stripe.objects["cus_1"] = {"id": "cus_1", "metadata": {}}
        self.restart()

    def restart(self) -> None:
        """Begin again as a new actor does: with what the database holds."""
        pace, turns = Pace(self._monotonic, REQUESTS_PER_SECOND), Turns()
        self.lookups = Lookups(self.stripe, self._monotonic, pace)
        behind = Lookups(self.stripe, self._monotonic, pace, urgent=False)
        self.work = StripeWork(
            self.ledger,
            Applier(self.ledger, self.lookups, self.router, self.clock, turns),
            Applier(self.ledger, behind, self.router, self.clock, turns),
            livemode=False,
            clock=self.service_clock,
        )

    def _monotonic(self) -> float:
        self.seconds += 10.0  # Every look-up has its turn at once.
        return self.seconds

    def deliver(self, body: str) -> bool:
        return self.ledger.keep(read_event(body, self.clock()))

    async def settle(self, *bodies: str) -> None:
        """Deliver events and apply all that is due."""
        for body in bodies:
            self.deliver(body)
        while await self.work.turn(fresh=True) + await self.work.turn(fresh=False):
            pass

    async def status(self, user_id: str = ADA) -> CreditStatusResponse:
        return await status(self.shard, user_id)

    async def subscription(self, user_id: str = ADA) -> Subscription:
        await self.status(user_id)
        (found,) = self.shard.accounts[UserId(user_id)].subscriptions
        return found

    def states(self) -> dict[str, EventState]:
        return {e.event_id: e.state for e in self.ledger.events.values()}


@contextlib.asynccontextmanager
async def stripe_world(now: datetime = NOON) -> AsyncIterator[StripeWorld]:
    store, clock = MemoryStore(), Clock(now)
    async with running(store, clock=clock) as shard:
        yield StripeWorld(shard, clock, store)
