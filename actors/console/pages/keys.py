"""API keys: a list, and making, rotating and revoking one, each shown before it is done."""

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from actors.console.changes import Form
from actors.console.console import Console
from actors.console.guard import session_of
from actors.console.key_changes import KEY_PLANS, KEY_TITLES, MAY
from actors.console.pages.planned import Desk
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
    after = page["next_cursor"]
    return console.page(
        request,
        "keys.html",
        rows=page["items"],
        made=session.made.pop("key", None),
        after=f"{KEYS}?{urlencode({'cursor': after})}" if after else "",
    )


async def _known(console: Console, key: str, action: str, form: Form) -> dict[str, Any]:
    """Return the key that a form is about. Raises RefusedError: it is none in force."""
    known: dict[str, Any] = {"now": console.now()}
    if action == "make":
        return known
    cursor = None
    while True:
        page = await console.service.get(key, "/admin/keys", cursor=cursor, limit=PAGE_MAX)
        for one in page["items"]:
            if one["key_id"] == form.get("key") and not one["revoked_at"]:
                return known | {"key": one}
        cursor = page["next_cursor"]
        if not cursor:
            break
    raise RefusedError(404, "not_found", "There is no such key in force")


DESK = Desk(
    plans=KEY_PLANS,
    titles=KEY_TITLES,
    template="key_change.html",
    known=_known,
    home=lambda _form: KEYS,
    subject=lambda form, known: known["key"]["name"] if "key" in known else form["name"],
    shown={"may": MAY},
    made="key",
)
