"""Users' own tokens: JSON Web Tokens, checked with a shared secret or an issuer's published keys.

This is the only file that knows PyJWT, and how a key set (JWKS) is fetched. A token is judged by
its own clock's time, the real one: a test clock does not move it.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt

from actors.auth.caller import Caller
from actors.auth.token_rules import TokenRules
from domain.values import parse_user_id

SECRET_ALGORITHMS = ("HS256", "HS384", "HS512")
PUBLIC_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
LEEWAY_SECONDS = 60  # How far clocks may differ.
TOKEN_LENGTH_MAX = 8 * 1024
FETCH_SECONDS_MAX = 3.0  # How long one reading of a key set may take.
KEY_SET_BYTES_MAX = 256 * 1024
FRESH_SECONDS = 300.0  # After so long a key set is read again, beside the requests.
TRUSTED_SECONDS_MAX = 3600.0  # How long the last key set counts while its host is away.
UNKNOWN_KEY_SECONDS = 5.0  # How soon a key that the set lacks may make us look again.


class UncheckableTokenError(Exception):
    """The issuer's keys cannot be had now, so nobody can tell whether the token is right."""


class Tokens:
    """Checks tokens. `fetch` returns the text of the key set; it blocks, and may raise OSError."""

    def __init__(
        self,
        rules: TokenRules,
        fetch: Callable[[], bytes] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._keys = None
        if rules.key_set_url is not None:
            url = rules.key_set_url
            self._keys = KeySet(fetch or (lambda: fetch_key_set(url)), monotonic)

    async def caller_of(self, text: str) -> Caller | None:
        """Return whose token it is; None where it is not one in force.

        Raises UncheckableTokenError.
        """
        if len(text) > TOKEN_LENGTH_MAX:
            return None
        try:
            header = jwt.get_unverified_header(text)
            claims = await self._claims(text, header)
            user_id = None if claims is None else parse_user_id(claims["sub"])
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None
        if claims is None or user_id is None:
            return None
        return Caller(f"user:{user_id}", None, user_id, ends_at=end_of(claims["exp"]))

    async def _claims(self, text: str, header: Mapping[str, Any]) -> Mapping[str, Any] | None:
        algorithm, key_id = header.get("alg"), header.get("kid")
        # Each kind of algorithm has a key of its own: a public key is never taken for a secret.
        if algorithm in SECRET_ALGORITHMS and self._rules.secret is not None:
            return self._checked(text, self._rules.secret, SECRET_ALGORITHMS)
        if algorithm in PUBLIC_ALGORITHMS and self._keys is not None:
            key = await self._keys.find(key_id if isinstance(key_id, str) else None)
            return None if key is None else self._checked(text, key, PUBLIC_ALGORITHMS)
        return None

    def _checked(
        self, text: str, key: str | jwt.PyJWK, algorithms: tuple[str, ...]
    ) -> Mapping[str, Any]:
        claims: Mapping[str, Any] = jwt.decode(
            text,
            key,
            algorithms=list(algorithms),
            issuer=self._rules.issuer,
            audience=self._rules.audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "sub"], "enforce_minimum_key_length": True},
        )
        return claims


def end_of(exp: float) -> datetime | None:
    """Return until when a token with this `exp` is taken; None: longer than calendars go."""
    try:
        return datetime.fromtimestamp(int(exp) + LEEWAY_SECONDS, UTC)
    except (OverflowError, ValueError, OSError):
        return None


class KeySet:
    """The published keys of an issuer, as one process knows them."""

    def __init__(self, fetch: Callable[[], bytes], monotonic: Callable[[], float]) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """Return the key a token names, or the only one; None where the issuer has no such key.

        Raises UncheckableTokenError where the key set cannot be had.
        """
        age = self._monotonic() - self._read_at
        if age > TRUSTED_SECONDS_MAX or key_id not in self._keys:
            if self._monotonic() - self._tried_at >= UNKNOWN_KEY_SECONDS or self._reading:
                await asyncio.shield(self._read())
            if self._read_at < self._tried_at:
                raise UncheckableTokenError
        elif age > FRESH_SECONDS and self._monotonic() - self._tried_at >= UNKNOWN_KEY_SECONDS:
            self._read()
        return self._keys.get(key_id)

    def _read(self) -> "asyncio.Task[None]":
        """Return the reading that is under way: all who wait for it share it."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_once())
        return self._reading

    async def _read_once(self) -> None:
        self._tried_at = self._monotonic()
        try:
            async with asyncio.timeout(FETCH_SECONDS_MAX):
                self._keys = read_key_set(await asyncio.to_thread(self._fetch))
            self._read_at = self._tried_at
        except (OSError, TimeoutError, ValueError, RecursionError, jwt.PyJWTError):
            pass  # Who needs it sees that it is too old.
        finally:
            self._reading = None


def read_key_set(text: bytes) -> dict[str | None, jwt.PyJWK]:
    """Return the keys of a set that sign, by their ids; a lone key also stands for no id.

    Raises ValueError, jwt.PyJWTError.
    """
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("a key set is a JSON object")  # noqa: TRY004 - it is one of many
    try:
        found = jwt.PyJWKSet.from_dict(document)
    except (AttributeError, LookupError, TypeError) as error:  # PyJWT trusts a key to be whole.
        raise ValueError("a key of the set is none") from error
    signing = [key for key in found if key.public_key_use != "enc"]
    keys: dict[str | None, jwt.PyJWK] = {
        key.key_id: key for key in signing if key.key_id and isinstance(key.key_id, str)
    }
    if len(signing) == 1:
        keys[None] = signing[0]
    return keys


def fetch_key_set(url: str) -> bytes:
    """Return the text at an address. Raises OSError, also where that is too long or too slow."""
    deadline = time.monotonic() + FETCH_SECONDS_MAX
    try:
        with httpx.stream("GET", url, timeout=FETCH_SECONDS_MAX) as answer:
            answer.raise_for_status()
            text = b""
            for part in answer.iter_bytes():
                text += part
                if len(text) > KEY_SET_BYTES_MAX or time.monotonic() > deadline:
                    raise OSError("the key set is too long, or too slow")
            return text
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError("the key set cannot be read") from error
