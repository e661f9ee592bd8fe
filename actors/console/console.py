"""What every page has at hand, and how it becomes HTML."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from actors.console import words
from actors.console.guard import Place
from actors.console.rates import Rates
from actors.console.service import Service
from actors.console.sessions import Link, Sessions

TEMPLATES = Environment(
    loader=PackageLoader("actors.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters.update(
    number=words.number,
    percent=words.percent,
    moment=words.moment,
    day=words.day,
    span=words.span,
    label=words.label,
    is_past=words.is_past,
    tone=words.tone,
    source=words.source,
    json=words.json_text,
    most_credits=words.most_credits,
    reason=words.reason_in,
)
NAVIGATION = (
    ("/", "Overview"),
    ("/subscriptions", "Users"),
    ("/refusals", "Refusals"),
    ("/events", "Events"),
    ("/endpoints", "Endpoints"),
    ("/sweeps", "Sweeps"),
    ("/shards", "Shards"),
    ("/prices", "Prices"),
    ("/keys", "API keys"),
    ("/audit", "Audit"),
)


@dataclass(frozen=True, slots=True)
class Console:
    """One console: the service that it shows, and who is signed in."""

    service: Service
    sessions: Sessions
    place: Place
    link: Link | None
    rates: Rates
    now: Callable[[], datetime]
    clock: Callable[[], float]
    """Seconds that only go forward."""

    def page(
        self, request: Request, template: str, code: int = 200, **content: Any
    ) -> HTMLResponse:
        """Return a page. All that it shows of the service is escaped."""
        session, now = request.scope.get("session_of_console"), self.now()
        shared = {
            "path": request.url.path,
            "navigation": NAVIGATION,
            "session": session,
            "notices": session.take_notices() if session and code == 200 else (),
            "now": now,
            "away": lambda text: words.away(text, now),
        }
        return HTMLResponse(TEMPLATES.get_template(template).render(shared | content), code)

    def fragment(self, template: str, **content: Any) -> HTMLResponse:
        """Return a part of a page, which the page puts in the place of the older one."""
        now = self.now()
        shared = {"now": now, "away": lambda text: words.away(text, now)}
        return HTMLResponse(TEMPLATES.get_template(template).render(shared | content))


def see(address: str) -> Response:
    """Return the answer to a form that was done: look there."""
    return RedirectResponse(address, 303)
