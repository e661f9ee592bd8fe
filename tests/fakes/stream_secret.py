"""The secret of stream tokens, in memory."""

from actors.auth.stream_tokens import SECRET_BYTES
from actors.protocol.store import StorageUnavailableError


class StreamSecret:
    """A secret that can be replaced, and away."""

    def __init__(self) -> None:
        self.kept = b"s" * SECRET_BYTES
        self.away = False

    def secret(self) -> bytes:
        if self.away:
            raise StorageUnavailableError("away")
        return self.kept
