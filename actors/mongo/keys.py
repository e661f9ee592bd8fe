"""API keys in MongoDB: one document each, found by the hash of the key."""

import logging
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import Int64

from actors.auth.api_keys import ApiKey
from actors.auth.caller import Scope
from actors.auth.limits import KeyLimits
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.instants import UNIX_START

LIMITED = "limited "
"""What the hash of a limited key begins with: a version that knows no limits finds no such key."""

logger = logging.getLogger(__name__)

NOBODY = KeyLimits(frozenset(), None, frozenset())


class MongoKeys:
    """Keeps API keys."""

    def __init__(self, database: Documents) -> None:
        self._keys = database.allotment_api_keys
        self._unreadable: set[str] = set()

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
                    "lifetime_seconds": key.lifetime and Int64(key.lifetime.total_seconds()),
                    **({} if key.limits is None else {"limits": key.limits.shown()}),
                }
            )

    def list(self) -> list[ApiKey]:
        """Return all keys that can be read, the oldest first, revoked ones too."""
        with unavailable_on_error():
            documents = list(self._keys.find())
        keys, unreadable = list[ApiKey](), set[str]()
        for document in documents:
            try:
                keys.append(_read_key(document))
            except (TypeError, ValueError, LookupError):
                unreadable.add(str(document["_id"]))
        for key_id in sorted(unreadable - self._unreadable):
            logger.warning("the API key %s cannot be read and is not in force", key_id)
        self._unreadable = unreadable
        return sorted(keys, key=lambda key: key.created_at)

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
            # In one: those who wait to read the keys again wait for it.
            self._keys.update_many({"_id": {"$in": [*key_ids]}}, {"$max": {"last_used_at": at}})


def _read_key(document: Mapping[str, Any]) -> ApiKey:
    """Return a key. Raises TypeError, ValueError, LookupError."""
    texts = (document[name] for name in ("_id", "name", "scope", "prefix", "hash"))
    key_id, name, scope, prefix, kept = map(_required, texts)
    created_at, expires_at = document["created_at"], _instant(document.get("expires_at"))
    if not isinstance(created_at, datetime):
        raise TypeError
    return ApiKey(
        *(key_id, name, Scope[scope.upper()], prefix, kept.removeprefix(LIMITED), created_at),
        revoked_at=_instant(document["revoked_at"]),
        last_used_at=_instant(document.get("last_used_at")),
        expires_at=expires_at,
        limits=_read_limits(document),
        lifetime=_read_lifetime(document, created_at, expires_at),
    )


def _read_lifetime(
    document: Mapping[str, Any], created_at: datetime, expires_at: datetime | None
) -> timedelta | None:
    """Return how long a key was made for; one of before that was kept: as long as it lives."""
    if "lifetime_seconds" not in document:
        return expires_at - created_at if expires_at is not None else None
    seconds = document["lifetime_seconds"]
    return None if seconds is None else timedelta(seconds=int(seconds))


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


def _instant(said: Any) -> datetime | None:
    if said is not None and not isinstance(said, datetime):
        raise TypeError
    return said


def _required(said: Any) -> str:
    if not isinstance(said, str):
        raise TypeError
    return said


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
