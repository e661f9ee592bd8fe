"""API keys: a list, and making, rotating and revoking one, each shown before it is done."""

from collections import defaultdict
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from actors.console.changes import WrongFieldError
from actors.console.console import Console, see
from actors.console.guard import form_of, session_of
from actors.console.key_changes import KEY_PLANS, KEY_TITLES, MAY
from actors.console.service import RefusedError

KEYS = "/keys"
ROWS = 50
PAGE_MAX = 1000


async def get_keys(request: Request) -> Response:
    """Show keys without their secrets; one that was made just now with its own, once."""
    console: Console = request.app.state.console
    session = session_of(request)
    page = await console.service.get(
        session.key, "/admin/keys", cursor=request.query_params.get("cursor"), limit=ROWS
    )
    made, session.made_key = session.made_key, None
    after = page["next_cursor"]
    return console.page(
        request,
        "keys.html",
        rows=page["items"],
        made=made,
        after=f"/keys?{urlencode({'cursor': after})}" if after else "",
    )


async def get_key_change(request: Request) -> Response:
    """Show the form of a change."""
    return await _form(request, dict(request.query_params), "")


async def plan_or_change_key(request: Request) -> Response:
    """Show what a form would do; do it, where that was shown and is confirmed."""
    console: Console = request.app.state.console
    action, form, session = _action(request), await form_of(request), session_of(request)
    try:
        plan = KEY_PLANS[action](form, await _known(request, form))
        if form.pop("confirmed", "") != "1":
            title, named = KEY_TITLES[action], form.get("key") or form["name"]
            return console.page(
                request,
                "change_plan.html",
                title=title,
                subject=named,
                fields=form,
                plan=plan,
                link=KEYS,
            )
        answer = await console.service.send(session.key, plan.method, plan.path, plan.body)
    except WrongFieldError as error:
        return await _form(request, form, str(error))
    except RefusedError as error:
        if error.status == 401:
            raise
        return await _form(request, form, f"{error.title}. {error.detail}".strip())
    session.made_key = answer.get("key")
    session.notices.append(plan.done)
    return see(KEYS)


async def _form(request: Request, form: dict[str, str], error: str) -> Response:
    console: Console = request.app.state.console
    action = _action(request)
    known = await _known(request, form)
    return console.page(
        request,
        "key_change.html",
        422 if error else 200,
        action=action,
        title=KEY_TITLES[action],
        form=defaultdict(str, form),
        error=error,
        key=known.get("key"),
        may=MAY,
    )


def _action(request: Request) -> str:
    action: str = request.path_params["action"]
    if action not in KEY_PLANS:
        raise HTTPException(404)
    return action


async def _known(request: Request, form: dict[str, str]) -> dict[str, Any]:
    """Return the key that a form is about. Raises RefusedError: it is none in force."""
    console: Console = request.app.state.console
    known: dict[str, Any] = {"now": console.now()}
    if _action(request) == "make":
        return known
    cursor = None
    while True:
        page = await console.service.get(
            session_of(request).key, "/admin/keys", cursor=cursor, limit=PAGE_MAX
        )
        for one in page["items"]:
            if one["key_id"] == form.get("key") and not one["revoked_at"]:
                return known | {"key": one}
        cursor = page["next_cursor"]
        if not cursor:
            break
    raise RefusedError(404, "not_found", "There is no such key in force")
