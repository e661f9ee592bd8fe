"""The calls of operators about API keys, and about who did what. All need an admin key."""

from collections.abc import Sequence
from typing import Literal

from allotment_client.call import Call, encoded, path_of, query_of
from allotment_client.decoding import reader
from allotment_client.reports import ActPage, KeyPage, KeyRecord, MadeKey

Scope = Literal["read", "write", "admin"]


def create_key(
    name: str,
    scope: Scope,
    *,
    expires_in: int | None = None,
    user_ids: Sequence[str] | None = None,
    user_id_prefix: str | None = None,
    services: Sequence[str] | None = None,
) -> Call[MadeKey]:
    """Make an API key, and return it this once. What is left out narrows nothing.

    `expires_in`: seconds. A key is for the users of the list and those of the prefix. It is not
    repeated where its answer is lost: look for the key with `list_keys`, and revoke it.
    """
    body = encoded(
        name=name,
        scope=scope,
        expires_in=expires_in,
        user_ids=user_ids if user_ids is None else list(user_ids),
        user_id_prefix=user_id_prefix,
        services=services if services is None else list(services),
    )
    return Call("POST", "/admin/keys", reader(MadeKey), body=body, repeats=False)


def list_keys(*, limit: int = 100, cursor: str | None = None) -> Call[KeyPage]:
    """Return a page of keys without their secrets, the oldest first, revoked ones too."""
    return Call("GET", "/admin/keys", reader(KeyPage), query_of(limit=limit, cursor=cursor))


def rotate_key(
    key_id: str, *, overlap: int | None = None, expires_in: int | None = None
) -> Call[MadeKey]:
    """Make a key that may do the same, and return it this once.

    `overlap`: seconds in which the old one goes on, a day unless told. The new one is in force as long
    as the old one was to be, unless `expires_in` (seconds) says otherwise.
    """
    told = {"overlap": overlap, "expires_in": expires_in}
    body = encoded(**{name: value for name, value in told.items() if value is not None})
    return Call(
        "POST",
        path_of("admin", "keys", key_id, "rotate"),
        reader(MadeKey),
        body=body,
        repeats=False,
    )


def revoke_key(key_id: str) -> Call[KeyRecord]:
    """Have a key refused everywhere within five seconds."""
    return Call("DELETE", path_of("admin", "keys", key_id), reader(KeyRecord))


def get_audit(
    *, by: str | None = None, limit: int = 100, cursor: str | None = None
) -> Call[ActPage]:
    """Return a page of administrative acts, newest first; `by`: those of one caller (`key:5f0c`)."""
    query = query_of(by=by, limit=limit, cursor=cursor)
    return Call("GET", "/admin/audit", reader(ActPage), query)
