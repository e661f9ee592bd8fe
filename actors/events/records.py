"""Events on their way: their order, what each consumer is done with, and where both are kept.

Events come into `allotment_events` with the flush of their entries, and flushes of two shards commit in
any order. So whoever relays them gives them their places afterwards: `number` reads what has no
place from one snapshot and numbers it in the same transaction, each user's events by the numbers
of their entries. A reader who has seen place n has seen all places before it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from actors.events.marks import OwnPlace
from domain.events import EventRecord, EventType
from domain.values import UserId


class OrderedEvent(NamedTuple):
    """An event and its places: among all events, and among the entries of its user."""

    order: int
    """Counts 1, 2, 3 … without gaps, for ever; 0: it has no place yet."""
    seq: int
    record: EventRecord


@dataclass(slots=True)
class Progress:
    """What a consumer is done with: everything up to a place, and some places after it."""

    done_until: int = 0
    done: list[tuple[int, int]] = field(default_factory=list)
    """Further places that are done, as (first, last), in order and never adjoining."""

    def __contains__(self, order: int) -> bool:
        return order <= self.done_until or any(a <= order <= b for a, b in self.done)

    def finish(self, order: int) -> None:
        """Note that a place is done."""
        if order in self:
            return
        merged = (order, order)
        others = []
        for first, last in self.done:
            if last + 1 == merged[0]:
                merged = (first, merged[1])
            elif first - 1 == merged[1]:
                merged = (merged[0], last)
            else:
                others.append((first, last))
        if merged[0] == self.done_until + 1:
            self.done_until = merged[1]
            self.done = others
        else:
            self.done = sorted([*others, merged])

    def pass_over(self, first: int, last: int) -> None:
        """Note that nothing is left at the places of a range: they are done."""
        merged: list[tuple[int, int]] = []
        for a, b in sorted([*self.done, (first, last)]):
            if merged and a <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
            else:
                merged.append((a, b))
        if merged[0][0] <= self.done_until + 1:
            self.done_until = max(self.done_until, merged.pop(0)[1])
        self.done = merged

    def copy(self) -> "Progress":
        """Return what is done now, to be stored while more is finished."""
        return Progress(self.done_until, list(self.done))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a consumer gave up, or is to deliver again."""

    consumer: str
    event: OrderedEvent
    at: datetime
    attempts: int
    error: str
    again: bool = False
    """Somebody has asked for it to be delivered again, and it has not been yet."""

    @property
    def name(self) -> str:
        return dead_name(self.consumer, self.event.record.id)


def dead_name(consumer: str, event_id: str) -> str:
    """Return what is unique on consumer and event."""
    return f"{consumer} {event_id}"


class EventStore(Protocol):
    """Keeps events and what became of them. Every call blocks; StorageUnavailableError."""

    def take_over(self) -> None:
        """End what an earlier relay that was killed left open. To be called at its start."""

    def serve(self, consumers: Collection[str]) -> None:
        """Have these hold old events that they have not had, and no other whose place is kept.

        Of consumers beside the endpoints that are made at run time.
        """

    def number(self, limit: int) -> Sequence[OrderedEvent]:
        """Give up to `limit` events that have none their places, and return them in order."""

    def head(self) -> int:
        """Return the last place that was given."""

    def after(self, order: int, limit: int) -> Sequence[OrderedEvent]:
        """Return the next events after a place, up to `limit` of them, in order."""

    def of_user(self, user_id: UserId, order: int, limit: int) -> Sequence[OrderedEvent]:
        """Return the next events of one user after a place, in order."""

    def last_own(self, user_id: UserId, order: int) -> OwnPlace | None:
        """Return which of a user's events is the last up to a place; None: there is none."""

    def find(self, event_id: str) -> OrderedEvent | None:
        """Return one event."""

    def progress(self, consumer: str) -> Progress | None:
        """Return what a consumer is done with; None: it is new."""

    def keep(self, consumer: str, progress: Progress) -> None:
        """Keep what a consumer is done with."""

    def bury(self, letter: DeadLetter) -> None:
        """Keep a dead letter, in the place of what was known of it."""

    def unbury(self, consumer: str, event_id: str) -> None:
        """Remove a dead letter, if it is there: it was delivered."""

    def dead(
        self, limit: int, *, again: bool | None = None, event_id: str | None = None
    ) -> Sequence[DeadLetter]:
        """Return the newest dead letters: all, or those of one kind, or of one event."""

    def count_dead(self) -> int:
        """Return how many dead letters nobody has asked to deliver again."""

    def trim(self, before: datetime) -> int:
        """Remove events made before an instant that all who are served have had; count them."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Events after one of them, of some types, or of one user."""

    after: str | None
    """The id of an event; BEGINNING; None: from now on."""
    types: Collection[EventType] = ()
    """Empty: all."""
    user_id: UserId | None = None

    def wants(self, event: OrderedEvent) -> bool:
        """Say whether an event is asked for."""
        record = event.record
        return (not self.types or record.type in self.types) and (
            self.user_id is None or record.user_id == self.user_id
        )


BEGINNING = "beginning"
"""In the place of an event's id: before all that are kept."""


class EventPage(NamedTuple):
    """Some events, and the place after which the next ones come."""

    events: Sequence[EventRecord]
    order: int


def in_order(events: Iterable[OrderedEvent]) -> list[OrderedEvent]:
    """Return events by their instants, as far as each user's stay in theirs.

    They come user by user, each user's in order. Clocks of two machines may differ.
    """
    latest: dict[str, datetime] = {}
    keyed = []
    for event in events:
        user = event.record.user_id
        moment = max(latest.get(user, event.record.created), event.record.created)
        latest[user] = moment
        keyed.append((moment, event))
    keyed.sort(key=lambda pair: pair[0])
    return [event for _, event in keyed]
