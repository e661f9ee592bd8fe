"""What a user's token must be, apart from who checks it: the settings know no JSON Web Tokens."""

from dataclasses import dataclass

SECRET_LENGTH_MIN = 32  # RFC 7518: at least as long as the hash of HS256.


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must be. Issuer and audience are checked where they are given."""

    secret: str | None = None
    key_set_url: str | None = None
    issuer: str | None = None
    audience: str | None = None
