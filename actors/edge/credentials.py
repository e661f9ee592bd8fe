"""Who sends a request: the key or the token that it shows, and where it may show it."""

from urllib.parse import unquote

from starlette.types import Scope

from actors.auth.api_keys import CALLED_AFTER_KEY, KEY_PREFIX, is_over
from actors.auth.caller import Caller
from actors.auth.tokens import UncheckableTokenError
from actors.edge.addresses import parameters
from actors.edge.backend import Backend
from actors.edge.problems import RequestRefused, make_problem
from actors.protocol.store import StorageUnavailableError

STREAM = ("GET", "/events")
"""The one operation that takes a token in its address: a stream token, and no other."""
STREAM_PARAMETER = "token"
BLANKS = " \t"  # What may stand beside a key: nothing else that Unicode takes for a space.


async def authenticate(backend: Backend, scope: Scope) -> Caller:
    """Return who sends a request. Raises RequestRefused."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    in_address = stream_tokens(scope)
    only = given[0] if len(given) == 1 else b""  # Of two, nobody says which is meant.
    scheme, _, shown = only.decode("latin-1").partition(" ")
    shown = shown.strip(BLANKS) if scheme.lower() == "bearer" else ""
    try:
        if not in_address:
            caller = backend.keys.known(shown) or await look_up(backend, shown)
        elif given or len(in_address) > 1:
            caller = None
        else:
            caller = await follower(backend, in_address[0])
    except StorageUnavailableError:
        title = "Keys cannot be checked now; try again later"
        raise RequestRefused(make_problem("storage_unavailable", title)) from None
    except UncheckableTokenError:
        title = "Tokens cannot be checked now: their issuer does not answer; try again later"
        raise RequestRefused(make_problem("storage_unavailable", title)) from None
    if caller is None:
        title = "A valid API key or token is needed"
        raise RequestRefused(make_problem("unauthorized", title))
    return caller


def stream_tokens(scope: Scope) -> list[str]:
    """Return what a request shows as stream tokens: nothing, but where it begins a stream."""
    if (scope["method"], scope["path"]) != STREAM or not scope["query_string"]:
        return []
    given = parameters(scope["query_string"])
    return [unquote(text) for name, text in given if name == STREAM_PARAMETER]


async def look_up(backend: Backend, shown: str) -> Caller | None:
    """Return who has shown a key that this process does not know yet, or a token.

    Raises StorageUnavailableError, UncheckableTokenError.
    """
    if shown.startswith(KEY_PREFIX):
        return await backend.keys.caller_of(shown)
    if shown.count(".") == 2 and backend.tokens is not None:
        return await backend.tokens.caller_of(shown)
    return None


async def follower(backend: Backend, shown: str) -> Caller | None:
    """Return who has shown a stream token; None: it, or the key that made it, is not in force.

    Raises StorageUnavailableError.
    """
    caller = await backend.streams.caller_of(shown)
    return caller if caller is not None and await is_in_force(backend, caller) else None


async def is_in_force(backend: Backend, caller: Caller) -> bool:
    """Whether what a caller has shown still counts. Raises StorageUnavailableError."""
    if is_over(caller.ends_at, backend.streams.clock()):
        return False
    key = caller.made_by or caller.name
    return not key.startswith(CALLED_AFTER_KEY) or await backend.keys.is_in_force(key)
