"""Signing in by a key or by the printed link, and signing out."""

from starlette.requests import Request
from starlette.responses import Response

from actors.console.console import Console, see
from actors.console.guard import fields_of, form_of
from actors.console.service import ServiceAwayError

REASONS = {
    "key": "The key is no longer in force. Sign in with another one.",
    "link": "This link was used already, or is older than an hour. Sign in with a key.",
    "out": "You are signed out.",
}
KEY_LENGTH_MAX = 200


async def get_sign_in(request: Request) -> Response:
    """Show the form for a key."""
    console: Console = request.app.state.console
    if request.scope["session_of_console"] is not None:
        return see("/")
    reason = REASONS.get(request.query_params.get("why", ""), "")
    return console.page(request, "sign_in.html", reason=reason, error="")


async def sign_in(request: Request) -> Response:
    """Begin a session with a key of the scope admin."""
    console: Console = request.app.state.console
    key = (await fields_of(request)).get("key", "")
    error = await _problem_with(console, key)
    if error:
        return console.page(request, "sign_in.html", 403, reason="", error=error)
    return _begin(console, key)


async def sign_in_by_link(request: Request) -> Response:
    """Begin a session with the token that the page took from the link's fragment."""
    console: Console = request.app.state.console
    token = (await fields_of(request)).get("token", "")
    key = None if console.link is None else console.link.take(token)
    return see("/sign-in?why=link") if key is None else _begin(console, key)


async def sign_out(request: Request) -> Response:
    """End the session."""
    console: Console = request.app.state.console
    await form_of(request)
    console.sessions.end(request.cookies[console.place.cookie])
    answer = see("/sign-in?why=out")
    console.place.forget(answer)
    return answer


def _begin(console: Console, key: str) -> Response:
    answer = see("/")
    console.place.remember(answer, console.sessions.begin(key))
    return answer


async def _problem_with(console: Console, key: str) -> str:
    if not key or len(key) > KEY_LENGTH_MAX or not key.isascii() or not key.isprintable():
        return "That is no API key."
    try:
        is_admin = await console.service.is_admin(key)
    except ServiceAwayError:
        return "The service does not answer, so the key cannot be checked."
    return (
        "" if is_admin else "This key does not open the console: it takes one of the scope admin."
    )
