"""A handler that notes what it takes, and fails as it is told to."""

import asyncio
from collections import Counter
from collections.abc import Callable

from actors.events.delivery import ATTEMPT_SECONDS_MAX, DeliveryError
from actors.events.records import OrderedEvent


class NotingHandler:
    """A `Handler`. `failure` says of an event what is wrong with it; `gate` holds all up."""

    def __init__(self, name: str = "noting", *, newest_only: bool = False) -> None:
        self.name = name
        self.newest_only = newest_only
        self.seconds_max = ATTEMPT_SECONDS_MAX
        self.taken: list[OrderedEvent] = []
        self.attempts: Counter[str] = Counter()
        self.in_flight: set[str] = set()
        self.most_in_flight = 0
        self.failure: Callable[[OrderedEvent], DeliveryError | None] = lambda _: None
        self.gate = asyncio.Event()
        self.gate.set()

    def wants(self, event: OrderedEvent) -> bool:
        return True

    async def handle(self, event: OrderedEvent) -> None:
        name = event.record.id
        self.attempts[name] += 1
        self.in_flight.add(name)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        try:
            await self.gate.wait()
            failure = self.failure(event)
            if failure is not None:
                raise failure
            self.taken.append(event)
        finally:
            self.in_flight.discard(name)

    @property
    def orders(self) -> list[int]:
        return [event.order for event in self.taken]

    def of_user(self, user: str) -> list[int]:
        return [event.order for event in self.taken if event.record.user_id == user]
