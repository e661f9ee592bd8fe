"""Endpoints in memory, over the events of a `MemoryEvents`."""

from actors.events.endpoints import CONSUMER, Endpoint, FirstAnswer
from actors.protocol.store import StorageUnavailableError
from tests.fakes.memory_events import MemoryEvents


class MemoryEndpoints:
    """An `EndpointStore` that can be away."""

    def __init__(self, events: MemoryEvents) -> None:
        self.kept: dict[str, Endpoint] = {}
        self.first: dict[str, tuple[FirstAnswer, str]] = {}
        self.away = False
        self._events = events

    def insert(self, endpoint: Endpoint, first: FirstAnswer | None) -> bool:
        self._enter()
        if first is not None:
            if first.key in self.first:
                return False
            self.first[first.key] = (first, endpoint.endpoint_id)
        self.kept[endpoint.endpoint_id] = endpoint
        self._events.begin(endpoint.consumer)
        return True

    def first_answer(self, key: str) -> FirstAnswer | None:
        self._enter()
        found = self.first.get(key)
        return found and found[0]

    def list(self) -> list[Endpoint]:
        self._enter()
        return sorted(self.kept.values(), key=lambda one: (one.created_at, one.endpoint_id))

    def find(self, endpoint_id: str) -> Endpoint | None:
        self._enter()
        return self.kept.get(endpoint_id)

    def replace(self, old: Endpoint, new: Endpoint) -> bool:
        self._enter()
        if self.kept.get(old.endpoint_id) != old:
            return False
        self.kept[new.endpoint_id] = new
        self._events.switch(new.consumer, on=new.enabled)
        return True

    def remove(self, endpoint_id: str) -> bool:
        self._enter()
        self.first = {k: pair for k, pair in self.first.items() if pair[1] != endpoint_id}
        self._events.forget(CONSUMER + endpoint_id)
        return self.kept.pop(endpoint_id, None) is not None

    def _enter(self) -> None:
        if self.away:
            raise StorageUnavailableError("away")
