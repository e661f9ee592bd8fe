"""Changing something about a user: a form, then what it would do, then the change and what came of it."""

import secrets
from collections import defaultdict
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from actors.console import words
from actors.console.changes import PLANS, TITLES, WrongFieldError, later
from actors.console.console import Console, see
from actors.console.guard import form_of, session_of
from actors.console.pages.user import link_of
from actors.console.service import RefusedError

ONCE_BYTES = 16
SAME_MOMENT_MAX = 100  # Records of one user in one second that a charge is looked for among.


async def get_change(request: Request) -> Response:
    """Show the form of a change."""
    return await _form(request, dict(request.query_params), "")


async def plan_or_change(request: Request) -> Response:
    """Show what a form would do; do it, where that was shown and is confirmed."""
    console: Console = request.app.state.console
    action, form = _action(request), await form_of(request)
    form.setdefault("once", secrets.token_hex(ONCE_BYTES))
    session = session_of(request)
    try:
        known = await _known(console, session.key, action, form)
        plan = PLANS[action](form, known)
        if form.pop("confirmed", "") != "1":
            return console.page(
                request,
                "change_plan.html",
                title=TITLES[action],
                subject=form["id"],
                fields=form,
                plan=plan,
                link=link_of(form["id"]),
            )
        await console.service.send(
            session.key, plan.method, plan.path, plan.body, idempotency_key=form["once"]
        )
    except WrongFieldError as error:
        return await _form(request, form, str(error))
    except RefusedError as error:
        if error.status == 401:
            raise
        return await _form(request, form, f"{error.title}. {error.detail}".strip())
    session.notices.append(plan.done)
    return see(link_of(form["id"]))


async def _form(request: Request, form: dict[str, str], error: str) -> Response:
    console: Console = request.app.state.console
    action = _action(request)
    known = await _known(console, session_of(request).key, action, form)
    form = {name: value for name, value in form.items() if name not in ("once", "confirmed")}
    return console.page(
        request,
        "change.html",
        422 if error else 200,
        action=action,
        title=TITLES[action],
        form=defaultdict(str, form),
        error=error,
        known=known,
        statuses=words.STATUSES,
        link=link_of(form["id"]),
    )


def _action(request: Request) -> str:
    action: str = request.path_params["action"]
    if action not in PLANS:
        raise HTTPException(404)
    return action


async def _known(console: Console, key: str, action: str, form: dict[str, str]) -> dict[str, Any]:
    """Return what the service says now of what is to be changed. Raises RefusedError."""
    service, user_id = console.service, form.get("id", "")
    known = {"status": await service.get(key, "/subscription/status", user_id=user_id)}
    if action == "reverse":
        at = form.get("at", "")
        page = await service.get(
            key,
            "/subscription/usage",
            user_id=user_id,
            from_=at,
            to=later(at),
            limit=SAME_MOMENT_MAX,
        )
        known["record"] = _one(page["items"], "usage_id", form.get("usage"))
    if action == "release":
        held = await service.get(key, "/subscription/holds", user_id=user_id)
        known["hold"] = _one(held["holds"], "hold_id", form.get("hold"))
    if action == "change":
        owned = await service.get(key, f"/subscriptions/{quote(user_id, safe='')}")
        known["subscription"] = _one(
            owned["subscriptions"], "subscription_id", form.get("subscription")
        )
    return known


def _one(rows: list[dict[str, Any]], name: str, wanted: str | None) -> dict[str, Any]:
    for row in rows:
        if row[name] == wanted:
            return row
    raise RefusedError(404, "not_found", "It is no longer there", "It was changed meanwhile.")
