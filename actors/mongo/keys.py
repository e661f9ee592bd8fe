"""API keys in MongoDB: one document each, found by the hash of the key."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from actors.auth.api_keys import ApiKey
from actors.auth.caller import Scope
from actors.auth.limits import KeyLimits
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.instants import UNIX_START

LIMITED = "limited "
"""What the hash of a limited key begins with: a version that knows no limits finds no such key."""

NOBODY = KeyLimits(frozenset(), None, frozenset())


class MongoKeys:
    """Keeps API keys."""

    def __init__(self, database: Documents) -> None:
        self._keys = database.allotment_api_keys

    def insert(self, key: ApiKey) -> None:
        """Keep a new key."""
        with unavailable_on_error():
            self._keys.insert_one(
                {
                    "_id": key.key_id,
                    "name": key.name,
                    "scope": key.scope.name.lower(),
                    "prefix": key.prefix,
                    "hash": key.hash if key.limits is None else LIMITED + key.hash,
                    "created_at": key.created_at,
                    "revoked_at": key.revoked_at,
                    "expires_at": key.expires_at,
                    **({} if key.limits is None else {"limits": key.limits.shown()}),
                }
            )

    def list(self) -> list[ApiKey]:
        """Return all keys, the oldest first, revoked ones too."""
        with unavailable_on_error():
            documents = list(self._keys.find())
        return sorted(map(_read_key, documents), key=lambda key: key.created_at)

    def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key; False where there is no such key in force."""
        with unavailable_on_error():
            changed = self._keys.update_one(
                {"_id": key_id, "revoked_at": None}, {"$set": {"revoked_at": at}}
            )
        return changed.modified_count == 1

    def expire(self, key_id: str, at: datetime) -> bool:
        """Have a key expire then, if not earlier; False where no such key is there, or it is revoked."""
        in_force = {"_id": key_id, "revoked_at": None}
        later = in_force | {"$or": [{"expires_at": None}, {"expires_at": {"$gt": at}}]}
        with unavailable_on_error():
            self._keys.update_one(later, {"$set": {"expires_at": at}})
            return self._keys.find_one(in_force) is not None

    def trim(self, before: datetime) -> int:
        """Remove keys that were revoked or have expired before an instant, and count them."""
        span = {"$gte": UNIX_START, "$lt": before}
        with unavailable_on_error():
            revoked = self._keys.delete_many({"revoked_at": span}).deleted_count
            return revoked + self._keys.delete_many({"expires_at": span}).deleted_count

    def note_used(self, key_ids: Collection[str], at: datetime) -> None:
        """Write down that these keys were used, unless a later use is known."""
        with unavailable_on_error():
            for key_id in key_ids:
                self._keys.update_one({"_id": key_id}, {"$max": {"last_used_at": at}})


def _read_key(document: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        document["_id"],
        document["name"],
        Scope[document["scope"].upper()],
        document["prefix"],
        document["hash"].removeprefix(LIMITED),
        document["created_at"],
        document["revoked_at"],
        document.get("last_used_at"),
        document.get("expires_at"),
        _read_limits(document),
    )


def _read_limits(document: Mapping[str, Any]) -> KeyLimits | None:
    """Return a key's limits. One that has some, and of which they cannot be read, is for nobody."""
    said: Any = document.get("limits")
    if said is None and not document["hash"].startswith(LIMITED):
        return None
    try:
        limits = KeyLimits(
            _texts(said["user_ids"]),
            _text(said["user_id_prefix"]),
            _texts(said["services"]),
        )
    except (TypeError, KeyError):
        limits = KeyLimits()
    return NOBODY if limits == KeyLimits() else limits


def _text(said: Any) -> str | None:
    if said is not None and not isinstance(said, str):
        raise TypeError
    return said


def _texts(said: Any) -> frozenset[Any] | None:
    if said is None:
        return None
    if not isinstance(said, list) or not all(isinstance(text, str) for text in said):
        raise TypeError
    return frozenset(said)
