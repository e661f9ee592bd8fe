"""Endpoints of webhooks: a list with their health, and what may be done about one."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from actors.console.changes import Form
from actors.console.console import Console, see
from actors.console.endpoint_changes import ENDPOINT_PLANS, ENDPOINT_TITLES, EVENT, path_of
from actors.console.guard import form_of, session_of
from actors.console.pages.planned import Desk
from actors.console.service import RefusedError
from actors.console.sessions import Notice
from domain.events import EventType

ENDPOINTS = "/endpoints"
Row = dict[str, Any]


async def get_endpoints(request: Request) -> Response:
    """Show endpoints, how they do, and a secret that was made just now, once."""
    console: Console = request.app.state.console
    session = session_of(request)
    rows, health = await asyncio.gather(
        console.service.get(session.key, "/admin/endpoints"), _health(console, session.key)
    )
    return console.page(
        request,
        "endpoints.html",
        rows=[(one, health.get(one["endpoint"])) for one in rows],
        made=session.made.pop("secret", None),
    )


async def test_endpoint(request: Request) -> Response:
    """Have a test event sent, and tell on the list what came of it."""
    console: Console = request.app.state.console
    form, session = await form_of(request), session_of(request)
    path = path_of({"endpoint_id": form.get("endpoint", "")})
    session.notices.append(
        _outcome(await console.service.send(session.key, "POST", f"{path}/test"))
    )
    return see(ENDPOINTS)


def _outcome(told: Row) -> Notice:
    took, status = told["milliseconds"], told["status"]
    if told["delivered"]:
        return Notice(f"The test event has arrived: {status} after {took} ms.")
    why = told["error"] or f"the endpoint answers {status}"
    return Notice(f"The test event has not arrived, after {took} ms: {why}.", "bad")


async def _health(console: Console, key: str) -> dict[str, Row]:
    """Return how endpoints do, by the names that reports have for them; none is known at times."""
    report = await console.service.get_or_none(key, "/admin/events")
    return {one["endpoint"]: one for one in (report or {}).get("endpoints", ())}


async def _known(console: Console, key: str, action: str, form: Form) -> Row:
    """Return the endpoint that a form is about. Raises RefusedError: it is none that may be changed."""
    known: Row = {"now": console.now()}
    if action == "make":
        return known
    for one in await console.service.get(key, "/admin/endpoints"):
        if one["endpoint_id"] == form.get("endpoint") and one["source"] == "runtime":
            health = (await _health(console, key)).get(one["endpoint"])
            return known | {"endpoint": one, "health": health}
    raise RefusedError(404, "not_found", "There is no such endpoint")


DESK = Desk(
    plans=ENDPOINT_PLANS,
    titles=ENDPOINT_TITLES,
    template="endpoint_change.html",
    known=_known,
    home=lambda _form: ENDPOINTS,
    subject=lambda form, known: (
        known["endpoint"]["address"] if "endpoint" in known else form["url"]
    ),
    shown={"types": [str(one) for one in EventType], "event": EVENT},
    made="secret",
)
