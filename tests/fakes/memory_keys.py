"""API keys in memory."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from actors.auth.api_keys import KEY_LENGTH, PREFIX_LENGTH, ApiKey, make_key
from actors.auth.caller import Scope
from actors.protocol.store import StorageUnavailableError
from tests.builders.authors import NOON


class Keys:
    """A key store in RAM that can be away, and counts how often it is read."""

    def __init__(self) -> None:
        self.kept: list[ApiKey] = []
        self.away = self.broken = False
        self.readings = 0
        self.used: list[tuple[set[str], datetime]] = []

    def insert(self, key: ApiKey) -> None:
        self.kept.append(key)

    def list(self) -> list[ApiKey]:
        self.readings += 1
        if self.broken:
            raise KeyError("scope")
        if self.away:
            raise StorageUnavailableError("away")
        return list(self.kept)

    def note_used(self, key_ids: Collection[str], at: datetime) -> None:
        self.used.append((set(key_ids), at))

    def revoke(self, key_id: str, at: datetime) -> bool:
        found = [key for key in self.kept if key.key_id == key_id and key.revoked_at is None]
        for key in found:
            self.kept[self.kept.index(key)] = replace(key, revoked_at=at)
        return bool(found)

    def expire(self, key_id: str, at: datetime) -> bool:
        found = [key for key in self.kept if key.key_id == key_id and key.revoked_at is None]
        for key in found:
            expires_at = min(at, key.expires_at or at)
            self.kept[self.kept.index(key)] = replace(key, expires_at=expires_at)
        return bool(found)


def made(store: Keys, scope: Scope) -> tuple[str, ApiKey]:
    text, key = make_key("test", scope, NOON)
    store.insert(key)
    return text, key


def stranger_like(text: str) -> str:
    """Return a key that nobody has made, with the prefix of another one."""
    return (text[:PREFIX_LENGTH] or "allot_abcdef").ljust(KEY_LENGTH, "x")
