"""Who may see a page, and what browsers are told to keep others from doing.

Every request passes `Guard`: the name it was sent to, the site that a form came from, and whoever has
no session is sent to the sign-in. What is not listed in `OPEN` needs a session.
"""

import hmac
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.console.sessions import Session, Sessions

FORM_BYTES_MAX = 16 * 1024
FIELDS_MAX = 50
OPEN = ("/sign-in", "/static/")
LIVE = "/live/"
"""Pages ask for these by themselves: that keeps no session alive."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # Without any, browsers send `Origin: null` with a form.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}


class ForgedFormError(Exception):
    """A form that no page of this session has sent."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where browsers reach the console."""

    origins: frozenset[str]
    cookie: str

    @classmethod
    def of(cls, host: str, port: int, public_url: str | None) -> "Place":
        """Return the place of a console that listens there, or is shown by a proxy as that URL."""
        if public_url is not None:
            parts = urlsplit(public_url)
            secure = parts.scheme == "https"
            cookie = "__Host-allotment_console" if secure else "allotment_console"
            cookie += f"_{parts.port}" if parts.port else ""  # Another port is another console.
            return cls(frozenset({f"{parts.scheme}://{parts.netloc}".lower()}), cookie)
        shown = f"[{host}]" if ":" in host else host
        hosts = {*LOOPBACK, shown} if host in ("127.0.0.1", "localhost", "::1") else {shown}
        # Cookies are of a host, not of a port: consoles on one machine have names of their own.
        return cls(frozenset(f"http://{one}:{port}" for one in hosts), f"allotment_console_{port}")

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach it by https only."""
        return all(origin.startswith("https://") for origin in self.origins)

    def is_ours(self, host: str) -> bool:
        """Return whether a request names this console: another name may be a rebound one."""
        return host.lower() in {urlsplit(origin).netloc for origin in self.origins}

    def remember(self, response: Response, session_id: str) -> None:
        """Give the browser its session. It lives as long as the browser; here it ends earlier."""
        response.set_cookie(
            self.cookie,
            session_id,
            httponly=True,
            samesite="strict",
            secure=self.is_secure,
            path="/",
        )

    def forget(self, response: Response) -> None:
        """Take the session from the browser."""
        response.delete_cookie(
            self.cookie, httponly=True, samesite="strict", secure=self.is_secure, path="/"
        )


class Guard:
    """Stands before every page."""

    def __init__(self, app: ASGIApp, place: Place, sessions: Sessions) -> None:
        self._app = app
        self._place = place
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on with its session."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # Nothing here speaks over a socket of its own.
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refused(scope) or self._app
        await answer(scope, receive, send_guarded)

    def _refused(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        if not self._place.is_ours(headers.get("host", "")):
            return PlainTextResponse("This console has another name.", 421)
        if scope["method"] not in ("GET", "HEAD") and not self._is_own_form(headers):
            return PlainTextResponse("This form was sent by another site.", 403)
        session_id = Request(scope).cookies.get(self._place.cookie, "")
        session = self._sessions.find(session_id, uses=not path.startswith(LIVE))
        scope["session_of_console"] = session
        if session is not None or path.startswith(OPEN):
            return None
        if path.startswith(LIVE):
            return PlainTextResponse("The session has ended.", 401)
        return RedirectResponse("/sign-in", 303)

    def _is_own_form(self, headers: Headers) -> bool:
        site = headers.get("sec-fetch-site", "same-origin")
        return headers.get("origin", "").lower() in self._place.origins and site == "same-origin"


def session_of(request: Request) -> Session:
    """Return the session of a page that needs one."""
    session = request.scope["session_of_console"]
    assert isinstance(session, Session), "the guard lets nobody else through"
    return session


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form that a page of this session has sent. Raises ForgedFormError."""
    form = await fields_of(request)
    token = session_of(request).form_token
    if not hmac.compare_digest(form.pop("form_token", "").encode(), token.encode()):
        raise ForgedFormError
    return form


async def fields_of(request: Request) -> dict[str, str]:
    """Return the fields of any form, without the spaces around. Raises ForgedFormError."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise ForgedFormError
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise ForgedFormError from error
    return {name: value.strip() for name, value in pairs}
