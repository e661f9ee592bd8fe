"""Examples of problems of the plain kind: by status, and those of single operations."""

from typing import Any


def problem(code: str, status: int, title: str, **more: Any) -> dict[str, Any]:
    """Return a problem body."""
    base = {"type": "about:blank", "title": title, "status": status, "detail": title, "code": code}
    return base | more


PROBLEMS: dict[str, dict[str, Any]] = {
    "400": problem("bad_signature", 400, "This is no event that Stripe has signed for us"),
    "401": problem("unauthorized", 401, "A valid API key or token is needed"),
    "403": problem("forbidden", 403, "This needs a key with the scope admin"),
    "404": problem("not_found", 404, "There is no such subscription"),
    "408": problem("request_timeout", 408, "The body did not arrive in time"),
    "409": problem("hold_closed", 409, "The hold is closed"),
    "413": problem("too_large", 413, "A body has at most 1048576 bytes"),
    "415": problem("unsupported_media_type", 415, "A body is JSON"),
    "429": problem("rate_limited", 429, "This caller has sent too many requests"),
    "503": problem("overloaded", 503, "The service is overloaded; try again later"),
}
"""Examples of problems of the plain kind, by status."""
NO_KEY = problem("not_found", 404, "There is no such key in force")
NO_HOLD = problem("not_found", 404, "There is no such hold")
CLOSER_PROBLEMS: dict[tuple[str, str], dict[str, Any]] = {
    ("/subscription/usage/{usage_id}/reversals", "404"): problem(
        "not_found", 404, "There is no such charge"
    ),
    ("/subscription/usage/{usage_id}/reversals", "409"): problem(
        "already_reversed", 409, "All of the charge was reversed"
    ),
    ("/admin/keys/{key_id}", "404"): NO_KEY,
    ("/admin/keys/{key_id}/rotate", "404"): NO_KEY,
    ("/subscription/holds/{hold_id}", "404"): NO_HOLD,
    ("/subscription/holds/{hold_id}/settle", "404"): NO_HOLD,
}
"""Those of single operations, by path and status."""
