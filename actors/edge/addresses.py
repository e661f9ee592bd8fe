"""What an address names: the parts of its path as its sender divided them, and its parameters."""

from urllib.parse import unquote, unquote_plus

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.types import Scope

ENCODED_SLASH = "\udc2f"  # A lone surrogate: no address that is UTF-8 holds it.


class Segment(StringConvertor):
    """One part of a path, in which an encoded slash is a character like any other."""

    def convert(self, value: str) -> str:
        """Return the text its sender meant."""
        return value.replace(ENCODED_SLASH, "/")


register_url_convertor("segment", Segment())


def divided(scope: Scope) -> Scope:
    """Return a request whose path is divided where its sender wrote slashes.

    Web servers decode a path before anybody divides it, and `%2F` becomes a slash like the others.
    """
    raw: bytes = scope.get("raw_path") or b""
    if b"%2F" not in raw and b"%2f" not in raw:
        return scope
    parts = map(unquote, raw.decode("latin-1").split("/"))
    return {**scope, "path": "/".join(part.replace("/", ENCODED_SLASH) for part in parts)}


def with_plus(query: bytes) -> set[str]:
    """Return the names of the parameters in which a `+` was sent as it is: it means a space."""
    if b"+" not in query:
        return set()
    return {name for name, value in parameters(query) if "+" in value}


def parameters(query: bytes) -> list[tuple[str, str]]:
    """Return the names of a query's parameters, and their values as they were sent."""
    parts = (part.partition("=") for part in query.decode("latin-1").split("&") if part)
    return [(unquote_plus(name), value) for name, _, value in parts]
