"""The service's own secrets in MongoDB: one document each, made when it is first wanted."""

import contextlib
import secrets
from datetime import UTC, datetime

from pymongo.errors import DuplicateKeyError

from actors.auth.stream_tokens import SECRET_BYTES
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.protocol.store import StorageUnavailableError

STREAMS = "stream tokens"


class MongoStreamSecret:
    """Keeps what signs stream tokens. Removed, it is made again: tokens made before are worthless."""

    def __init__(self, database: Documents) -> None:
        self._secrets = database.allotment_secrets

    def secret(self) -> bytes:
        """Return the secret, the same for all processes; the first call makes it.

        Raises StorageUnavailableError, also where somebody has put something shorter in its place.
        """
        with unavailable_on_error():
            document = self._secrets.find_one({"_id": STREAMS})
            if document is None:
                made = {"secret": secrets.token_bytes(SECRET_BYTES), "made_at": datetime.now(UTC)}
                with contextlib.suppress(DuplicateKeyError):  # Another process was faster.
                    self._secrets.insert_one({"_id": STREAMS} | made)
                document = self._secrets.find_one({"_id": STREAMS}) or {}
        secret = document.get("secret")
        if not isinstance(secret, bytes) or len(secret) < SECRET_BYTES:
            raise StorageUnavailableError("the secret of stream tokens is not as we keep it")
        return secret
