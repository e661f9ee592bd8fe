"""Which users a shard answers for.

It follows a newer table at once: from then on it answers for nobody whose slot is on its way or
elsewhere. What it does next is in `hand_over`. What RAM has of others beyond that (a timer, an
operator, a restart has asked for it) serves one batch and nobody else: see `Shard.commit`.
"""

from collections.abc import Callable

from actors.protocol.directory import Directory
from domain.values import UserId


class Ownership:
    """One shard's place in the table of slots."""

    def __init__(self, index: int, table: Directory) -> None:
        self.table = table
        self._index = index
        self._in_ram = table.slots(index)
        """The slots of whose users RAM may have accounts."""

    def owns(self, user_id: UserId) -> bool:
        """Whether the shard answers for the user."""
        return self.table.answers(self._index, user_id)

    def check(self, version: int) -> Callable[[UserId], bool]:
        """Return what says of the users in an envelope whether the shard answers for them.

        Its own table decides, whatever the sender's version is: nobody else answers for a user who
        is this shard's in it. Who has the same table has looked already, but for slots on their way.
        """
        return _is if version == self.table.version and not self.table.leaving else self.owns

    @property
    def slots(self) -> frozenset[int]:
        """The slots of the users for whom the shard answers."""
        return self.table.slots(self._index)

    def writes_views(self, user_id: UserId) -> bool:
        """Whether the shard writes what an earlier incarnation has left to write of the user."""
        return self.table.writes_views(self._index, user_id)

    def follow(self, table: Directory) -> None:
        """Take a newer table."""
        if table.version > self.table.version:
            self.table = table
            self._in_ram |= table.slots(self._index)

    def may_hold_others(self, table: Directory) -> bool:
        """Whether RAM may have accounts of users who are not the shard's in this table."""
        return not self._in_ram <= table.slots(self._index)

    def forgot_others(self, table: Directory) -> None:
        """Note that RAM has accounts of the shard's own users only, if this is still the table."""
        if self.table is table:
            self._in_ram = table.slots(self._index)


def _is(_: UserId) -> bool:
    return True
