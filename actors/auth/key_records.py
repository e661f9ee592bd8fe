"""What is shown of keys: never the key itself, but to those who have just made it."""

from datetime import datetime

from pydantic import BaseModel, Field

from actors.auth.api_keys import ApiKey
from actors.auth.limits import KeyLimits


class KeyRecord(BaseModel):
    """A key, without its secret."""

    key_id: str = Field(examples=["5f0c91ab"])
    name: str = Field(examples=["shop"])
    scope: str = Field(examples=["write"])
    prefix: str = Field(examples=["allot_Qm9vYW"])
    """How it begins."""
    user_ids: list[str] | None = Field(examples=[None])
    """The users it is for, with those of the prefix; null, and so the next: all."""
    user_id_prefix: str | None = Field(examples=["org7/"])
    services: list[str] | None = Field(examples=[["chat"]])
    """The services it is for; null: all."""
    created_at: datetime = Field(examples=["2026-03-10T12:00:00Z"])
    last_used_at: datetime | None = Field(examples=[None])
    """Within some seconds; null: never."""
    expires_at: datetime | None = Field(examples=["2026-06-08T12:00:00Z"])
    revoked_at: datetime | None = Field(examples=[None])


class MadeKey(KeyRecord):
    """A key that was made just now, with its secret: it is shown this once."""

    key: str = Field(examples=["allot_Qm9vYW" + "x" * 37])


class KeyPage(BaseModel):
    """A page of keys, the oldest first."""

    items: list[KeyRecord]
    next_cursor: str | None = Field(examples=[None])


def key_record(key: ApiKey) -> KeyRecord:
    """Return what may be shown of a key."""
    return KeyRecord.model_validate(shown(key))


def made_key(text: str, key: ApiKey) -> MadeKey:
    """Return what is shown of a new key, once."""
    return MadeKey.model_validate(shown(key) | {"key": text})


def shown(key: ApiKey) -> dict[str, object]:
    """Return the fields of a `KeyRecord`."""
    limits = (key.limits or KeyLimits()).shown()
    times: dict[str, object] = {
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
    named = {"key_id": key.key_id, "name": key.name, "scope": key.scope.name.lower()}
    return {**named, "prefix": key.prefix, **limits, **times}
