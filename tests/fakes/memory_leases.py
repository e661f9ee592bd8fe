"""The leases of shards in memory."""

from actors.protocol.store import StorageUnavailableError
from actors.shard.lease import Holder


class MemoryLeases:
    """Epochs in memory; the database may be away."""

    def __init__(self) -> None:
        self.taken: dict[str, tuple[int, Holder | None]] = {}
        self.is_away = False
        self.renewals = 0

    def take(self, shard: str, holder: Holder) -> tuple[int, Holder | None]:
        epoch, before = self.taken.get(shard, (0, None))
        self.taken[shard] = (epoch + 1, holder)
        return epoch + 1, before

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
