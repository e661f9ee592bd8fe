"""Changing something about a user: what a form is about, as the service knows it now."""

from typing import Any
from urllib.parse import quote

from actors.console import words
from actors.console.changes import PLANS, TITLES, Form, later
from actors.console.console import Console
from actors.console.pages.planned import Desk
from actors.console.pages.user import link_of
from actors.console.service import RefusedError

SAME_MOMENT_MAX = 100  # Records of one user in one second that a charge is looked for among.


async def _known(console: Console, key: str, action: str, form: Form) -> dict[str, Any]:
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


DESK = Desk(
    plans=PLANS,
    titles=TITLES,
    template="change.html",
    known=_known,
    home=lambda form: link_of(form.get("id", "")),
    subject=lambda form, _known: form["id"],
    shown={"statuses": words.STATUSES},
)
