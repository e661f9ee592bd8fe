"""Who owns which users: slots, the versioned table that maps them to shards, and how it changes.

A slot that moves is on its way for one version: it has its new owner already, and nobody answers
for it. So nobody reads from the RAM of the old owner what the new one has written over.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from actors.protocol.store import Moment
from domain.values import UserId, user_digest

SLOTS = 4096
SLOTS_REMEMBERED = 50_000  # Users whose slot a process need not work out again.
SHARDS_MAX = 256


@lru_cache(SLOTS_REMEMBERED)
def slot_of(user_id: UserId) -> int:
    """Return the user's slot: the same in every process, on every machine, for ever."""
    return int.from_bytes(user_digest(user_id), "big") % SLOTS


def shard_name(index: int) -> str:
    """Return the actor name of a shard."""
    return f"shard-{index:03d}"


@dataclass(frozen=True, slots=True)
class Directory:
    """One version of the table. Versions count up; the newest one is in the database."""

    version: int
    owners: tuple[int, ...]
    """The index of the owning shard, slot by slot."""
    leaving: Mapping[int, int] = field(default_factory=dict)
    """Slots that are on their way to their owner, and who owned them before."""
    started: int = 0
    """So many shards run at least, be it without a slot: they have none yet, or none any more."""

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return max(self.started, max(self.owners) + 1)

    def owner(self, user_id: UserId) -> int:
        """Return the index of the shard that owns the user, or will once its slot has arrived."""
        return self.owners[slot_of(user_id)]

    def answers(self, index: int, user_id: UserId) -> bool:
        """Whether a shard owns the user now, so that it may answer for it."""
        slot = slot_of(user_id)
        return self.owners[slot] == index and slot not in self.leaving

    def writes_views(self, index: int, user_id: UserId) -> bool:
        """Whether a shard, started again, has to write what its predecessor left behind."""
        slot = slot_of(user_id)
        return self.leaving.get(slot, self.owners[slot]) == index

    def slots(self, index: int) -> frozenset[int]:
        """Return the slots for which a shard answers."""
        return frozenset(
            slot
            for slot, owner in enumerate(self.owners)
            if owner == index and slot not in self.leaving
        )

    def with_shards(self, started: int) -> "Directory":
        """Return the next version, with the same owners and so many shards."""
        return replace(self, version=self.version + 1, started=started)

    def towards(self, shards: int, slots_max: int) -> "Directory | None":
        """Return the version in which some more slots are on their way to so many shards.

        Those that were on their way have arrived in it. None: all slots are where they belong.
        """
        moves = dict(list(moves_towards(self.owners, shards).items())[:slots_max])
        if not moves and not self.leaving:
            return None
        owners = tuple(moves.get(slot, owner) for slot, owner in enumerate(self.owners))
        leaving = {slot: self.owners[slot] for slot in moves}
        return Directory(self.version + 1, owners, leaving, self.shards)

    def slots_to_move(self, shards: int) -> int:
        """Return how many slots have not arrived yet where so many shards share them evenly."""
        return len(moves_towards(self.owners, shards)) + len(self.leaving)


class SeenTable(NamedTuple):
    """A table as it was read."""

    table: Directory
    moment: Moment | None = None
    """By then a majority had it, with all that was written before; None: the database does not say."""


def even(version: int, shards: int) -> Directory:
    """Return a table that gives every shard about the same number of slots, side by side."""
    if not 1 <= shards <= SLOTS:
        raise ValueError(f"there are 1 to {SLOTS} shards")
    return Directory(version, tuple(slot * shards // SLOTS for slot in range(SLOTS)))


def moves_towards(owners: tuple[int, ...], shards: int) -> dict[int, int]:
    """Return the fewest slots that have to move, in order, and where: then all have as many.

    Some have one more, where the slots cannot be shared evenly: those that had the most before.
    """
    counts = Counter(owners)
    least, rest = divmod(len(owners), shards)
    by_size = sorted(range(shards), key=lambda index: (-counts[index], index))
    room = {index: least + (place < rest) for place, index in enumerate(by_size)}
    homeless = []
    for slot, owner in enumerate(owners):
        if room.get(owner, 0) > 0:
            room[owner] -= 1
        else:
            homeless.append(slot)
    free = (index for index in range(shards) for _ in range(room[index]))
    return dict(zip(homeless, free, strict=True))
