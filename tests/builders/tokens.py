"""Users' tokens, signed."""

import time
from collections.abc import Mapping
from typing import Any

import jwt

from actors.auth.token_rules import TokenRules

SECRET = "a secret of the application, long enough"
CLAIMS: dict[str, Any] = {"sub": "ada", "iss": "https://id.example", "aud": "credits"}
RULES = TokenRules(secret=SECRET, issuer="https://id.example", audience="credits")


def token(changes: Mapping[str, Any] | None = None, **options: Any) -> str:
    """Return a token as the application makes it; a claim that is None is left out."""
    claims = CLAIMS | {"exp": time.time_ns() // 10**9 + 300} | dict(changes or {})
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, **({"key": SECRET, "algorithm": "HS256"} | options))


def now() -> int:
    return time.time_ns() // 10**9
