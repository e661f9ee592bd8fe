"""Who owns which users: slots, and the versioned table that maps them to shards."""

from dataclasses import dataclass
from functools import lru_cache

from domain.values import UserId, user_digest

SLOTS = 4096
SLOTS_REMEMBERED = 50_000  # Users whose slot a process need not work out again.


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

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return max(self.owners) + 1

    def owner(self, user_id: UserId) -> int:
        """Return the index of the shard that owns the user."""
        return self.owners[slot_of(user_id)]


def even(version: int, shards: int) -> Directory:
    """Return a table that gives every shard about the same number of slots, side by side."""
    if not 1 <= shards <= SLOTS:
        raise ValueError(f"there are 1 to {SLOTS} shards")
    return Directory(version, tuple(slot * shards // SLOTS for slot in range(SLOTS)))
