"""The operations on API keys: make, list, rotate, revoke.

They take no idempotency key: the text of a key is kept nowhere, so it cannot be given again. Whoever
loses the answer finds the key in the list, revokes it and makes another.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Path, Query, Request

from actors.auth.caller import Caller
from actors.auth.key_desk import (
    KeyDesk,
    TooManyKeysError,
    UnknownKeyError,
    WiderKeyError,
)
from actors.auth.key_records import KeyPage, KeyRecord, MadeKey, key_record, made_key
from actors.edge.audited import MADE
from actors.edge.backend import Backend
from actors.edge.callers import ADMIN_OF_ONE, caller_of, refused
from actors.edge.key_bodies import MakeKeyBody, RotateKeyBody, lifetime_of
from actors.edge.problems import RequestRefused, invalid, make_problem
from actors.edge.responses import problems, written
from actors.protocol.errors import UnavailableError
from actors.protocol.store import StoreError

PAGE_MAX = 1000
KEY_ID_LENGTH_MAX = 64

KeyId = Annotated[
    str,
    Path(min_length=1, max_length=KEY_ID_LENGTH_MAX, description="The id of the key."),
]

T = TypeVar("T")


def add_key_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations on API keys."""
    desk = backend.key_desk
    _add_making(app, desk)

    @app.get("/admin/keys", responses=problems(), **ADMIN_OF_ONE)
    async def list_keys(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
        cursor: Annotated[str | None, Query(max_length=KEY_ID_LENGTH_MAX)] = None,
    ) -> KeyPage:
        """Return keys without their secrets, the oldest first, revoked ones too."""
        keys = await done(desk.list, caller_of(request))
        places = {key.key_id: place for place, key in enumerate(keys)}
        if cursor is not None and cursor not in places:
            raise RequestRefused(invalid("cursor", "the cursor is not one that a page gave"))
        start = 0 if cursor is None else places[cursor] + 1
        items, rest = keys[start : start + limit], keys[start + limit :]
        return KeyPage(
            items=list(map(key_record, items)), next_cursor=items[-1].key_id if rest else None
        )

    @app.delete("/admin/keys/{key_id:segment}", responses=problems(404), **ADMIN_OF_ONE)
    async def revoke_key(request: Request, key_id: KeyId) -> KeyRecord:
        """Have a key refused everywhere within five seconds."""
        return key_record(await done(desk.revoke, caller_of(request), key_id))


def _add_making(app: FastAPI, desk: KeyDesk) -> None:
    @app.post("/admin/keys", status_code=201, responses=written(), **ADMIN_OF_ONE)
    async def create_key(request: Request, body: MakeKeyBody) -> MadeKey:
        """Make a key, and show it this once.

        A key that is limited makes keys within its own limits. There is no `Idempotency-Key`: what is
        kept of a key cannot show it again.
        """
        caller, lifetime = caller_of(request), body.lifetime
        text, key = await done(
            desk.make, caller, body.name, body.known_scope, lifetime, body.limits
        )
        request.scope[MADE] = key.key_id
        return made_key(text, key)

    @app.post(
        "/admin/keys/{key_id:segment}/rotate",
        status_code=201,
        responses=written(404),
        **ADMIN_OF_ONE,
    )
    async def rotate_key(
        request: Request, key_id: KeyId, body: RotateKeyBody | None = None
    ) -> MadeKey:
        """Make a key that may do the same, and show it this once; the old one goes on for a while."""
        told = body or RotateKeyBody()
        overlap, lifetime = lifetime_of(told.overlap), lifetime_of(told.expires_in)
        text, key = await done(desk.rotate, caller_of(request), key_id, overlap, lifetime)
        request.scope[MADE] = key.key_id
        return made_key(text, key)


async def done(act: Callable[..., T], caller: Caller, *arguments: Any) -> T:
    """Return what the desk has done. Raises RequestRefused, UnavailableError."""
    try:
        return await asyncio.to_thread(act, caller, *arguments)
    except WiderKeyError:
        raise refused("This key is limited: it makes keys within its own limits") from None
    except UnknownKeyError:
        raise RequestRefused(make_problem("not_found", "There is no such key in force")) from None
    except TooManyKeysError as error:
        raise RequestRefused(invalid("name", f"{error} keys are kept already")) from None
    except StoreError:
        raise UnavailableError from None
