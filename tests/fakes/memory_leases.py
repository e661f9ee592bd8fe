"""The leases of shards in memory."""

from actors.protocol.store import StorageUnavailableError
from actors.shard.lease import Holder, Taken


class MemoryLeases:
    """Epochs in memory; the database may be away."""

    def __init__(self) -> None:
        self.taken: dict[str, tuple[int, Holder | None]] = {}
        self.waited: dict[str, int] = {}
        """The newest epoch of each shard whose holder had waited."""
        self.is_away = False
        self.renewals = 0

    def take(self, shard: str, holder: Holder) -> Taken:
        epoch, before = self.taken.get(shard, (0, None))
        self.taken[shard] = (epoch + 1, holder)
        return Taken(epoch + 1, before, self.waited.get(shard, 0) == epoch)

    def note_waited(self, shard: str, epoch: int) -> None:
        if self.is_away:
            raise StorageUnavailableError("away")
        if self.taken[shard][0] == epoch:
            self.waited[shard] = epoch

    def epoch(self, shard: str) -> int:
        self.renewals += 1
        if self.is_away:
            raise StorageUnavailableError("away")
        return self.taken[shard][0]

    def release(self, shard: str, epoch: int) -> None:
        if self.is_away:
            raise StorageUnavailableError("away")
        if self.taken[shard][0] == epoch:
            self.taken[shard] = (epoch, None)
