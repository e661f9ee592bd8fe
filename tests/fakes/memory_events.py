"""Events in memory, over the documents of a `MemoryStore`."""

import threading
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from actors.events.endpoints import endpoint_id_of
from actors.events.marks import OwnPlace
from actors.events.records import DeadLetter, OrderedEvent, Progress, dead_name, in_order
from actors.protocol.store import StorageUnavailableError
from domain.events import EventRecord
from domain.values import UserId
from tests.fakes.memory_store import MemoryStore


class MemoryEvents:
    """An `EventStore`. `kept` counts how often a consumer's progress was kept."""

    def __init__(self, store: MemoryStore) -> None:
        self.documents = store.collections["events"]
        self.kept: Counter[str] = Counter()
        self.unavailable = False
        self._progress: dict[str, Progress] = {}
        self._dead: dict[str, DeadLetter] = {}
        self._off: set[str] = set()
        self._unserved: set[str] = set()
        self._head = 0
        self._lock = threading.RLock()

    def serve(self, consumers: Collection[str]) -> None:
        self._enter()
        kept = {name for name in self._progress if endpoint_id_of(name) is None}
        self._unserved = kept.difference(consumers)

    def take_over(self) -> None:
        self._enter()

    def number(self, limit: int) -> Sequence[OrderedEvent]:
        self._enter()
        with self._lock:
            new = [d for d in list(self.documents.values()) if d["order"] == 0]
            new.sort(key=lambda d: (d["user_id"], d["seq"], d["place"]))
            events = in_order(_event(document) for document in new[:limit])
            numbered = []
            for event in events:
                self._head += 1
                self.documents[event.record.id]["order"] = self._head
                numbered.append(event._replace(order=self._head))
            return numbered

    def head(self) -> int:
        self._enter()
        return self._head

    def after(self, order: int, limit: int) -> Sequence[OrderedEvent]:
        self._enter()
        return [e for e in self._ordered() if e.order > order][:limit]

    def of_user(self, user_id: UserId, order: int, limit: int) -> Sequence[OrderedEvent]:
        self._enter()
        own = [e for e in self._ordered() if e.record.user_id == user_id]
        return [e for e in own if e.order > max(order, 0)][:limit]

    def last_own(self, user_id: UserId, order: int) -> OwnPlace | None:
        self._enter()
        own = [
            (d["order"], OwnPlace(d["seq"], d["place"]))
            for d in list(self.documents.values())
            if d["user_id"] == user_id and 0 < d["order"] <= order
        ]
        return max(own)[1] if own else None

    def find(self, event_id: str) -> OrderedEvent | None:
        self._enter()
        document = self.documents.get(event_id)
        return _event(document) if document else None

    def progress(self, consumer: str) -> Progress | None:
        self._enter()
        known = self._progress.get(consumer)
        return known and known.copy()

    def keep(self, consumer: str, progress: Progress) -> None:
        self._enter()
        if endpoint_id_of(consumer) is not None and consumer not in self._progress:
            return
        self.kept[consumer] += 1
        self._progress[consumer] = progress.copy()

    def begin(self, consumer: str) -> None:
        """Have an endpoint begin with what is told from now on."""
        self._progress[consumer] = Progress(self._head)

    def switch(self, consumer: str, *, on: bool) -> None:
        """Have an endpoint hold events that are old, or none."""
        (self._off.discard if on else self._off.add)(consumer)

    def forget(self, consumer: str) -> None:
        """Remove the place and the dead letters of an endpoint."""
        self._progress.pop(consumer, None)
        self._dead = {n: d for n, d in self._dead.items() if d.consumer != consumer}

    def bury(self, letter: DeadLetter) -> None:
        self._enter()
        self._dead[letter.name] = letter

    def unbury(self, consumer: str, event_id: str) -> None:
        self._enter()
        self._dead.pop(dead_name(consumer, event_id), None)

    def dead(
        self, limit: int, *, again: bool | None = None, event_id: str | None = None
    ) -> Sequence[DeadLetter]:
        self._enter()
        found = [
            letter
            for letter in self._dead.values()
            if letter.event.record.id in self.documents
            and (letter.event.record.id == event_id if event_id else again in (None, letter.again))
        ]
        return sorted(found, key=lambda letter: letter.at, reverse=True)[:limit]

    def count_dead(self) -> int:
        self._enter()
        return sum(not letter.again for letter in self._dead.values())

    def trim(self, before: datetime) -> int:
        self._enter()
        on = [p for name, p in self._progress.items() if name not in self._off | self._unserved]
        until = min((p.done_until for p in on), default=self._head)
        buried = {letter.event.record.id for letter in self._dead.values()}
        old = [
            name
            for name, d in list(self.documents.items())
            if 0 < d["order"] <= until and d["created"] < before and name not in buried
        ]
        for name in old:
            del self.documents[name]
        return len(old)

    def _ordered(self) -> list[OrderedEvent]:
        with self._lock:
            events = [_event(d) for d in list(self.documents.values()) if d["order"]]
        return sorted(events, key=lambda e: e.order)

    def _enter(self) -> None:
        if self.unavailable:
            raise StorageUnavailableError from ConnectionError("a fault was asked for")


def _event(document: dict[str, Any]) -> OrderedEvent:
    fields = ("type", "created", "user_id", "subscription_id", "data")
    record = EventRecord(id=document["_id"], **{name: document[name] for name in fields})
    return OrderedEvent(document["order"], document["seq"], record)
