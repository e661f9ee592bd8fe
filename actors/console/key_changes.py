"""What an operator may do about API keys: the request each form means, and what it would do."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from actors.console import words
from actors.console.changes import Form, Known, Plan, WrongFieldError, whole

SCOPES = ("read", "write", "admin")
DAY_SECONDS = 86_400
MAY = {
    "read": "read every user whose id it knows",
    "write": "and add credits, charge and hold",
    "admin": "and do all that this console does",
}


def make(form: Form, _known: Known) -> Plan:
    """Return the plan to make a key."""
    name, scope = form.get("name", ""), form.get("scope", "")
    if not name:
        raise WrongFieldError("Say what the key is for.")
    if scope not in SCOPES:
        raise WrongFieldError("Choose what the key may do.")
    limits = {
        "user_ids": form.get("user_ids", "").split(),
        "user_id_prefix": form.get("user_id_prefix"),
        "services": [line.strip() for line in form.get("services", "").splitlines()],
    }
    limits["services"] = [one for one in limits["services"] or () if one]
    body: dict[str, Any] = {"name": name, "scope": scope}
    body |= {field: value for field, value in limits.items() if value}
    days = _days(form)
    if days:
        body["expires_in"] = days * DAY_SECONDS
    rows = [
        ("Name", "", name),
        ("May", "", f"{scope}: {MAY[scope]}"),
        ("Users", "", _users(body)),
        ("Services", "", ", ".join(body.get("services", ())) or "all"),
        ("Expires", "", f"in {days} days" if days else "never"),
    ]
    notes = ["The key is shown once, on the next page: nobody can show it again."]
    return Plan("POST", "/admin/keys", body, rows, notes, f"The key {name} is made.")


def rotate(form: Form, known: Known) -> Plan:
    """Return the plan to replace a key: the old one goes on for some hours."""
    key, hours, days = known["key"], whole(form, "overlap", 0), _days(form)
    body = {"overlap": hours * 3600} | ({"expires_in": days * DAY_SECONDS} if days else {})
    until = known["now"] + timedelta(hours=hours)
    rows = [
        ("The old key", "in force", f"until {until:%Y-%m-%d %H:%M} UTC"),
        ("The new key", "", f"may do the same: {key['scope']}"),
        ("The new key expires", "", f"in {days} days" if days else "as the old one was to"),
    ]
    notes = ["The new key is shown once, on the next page."]
    path = f"/admin/keys/{quote(key['key_id'], safe='')}/rotate"
    return Plan("POST", path, body, rows, notes, f"The key {key['name']} is rotated.")


def revoke(_form: Form, known: Known) -> Plan:
    """Return the plan to have a key refused."""
    key = known["key"]
    rows = [("The key", "in force", "refused everywhere within 5 seconds")]
    used = words.away(key["last_used_at"], known["now"])
    notes = [f"It was last used {used}." if key["last_used_at"] else "It was never used."]
    notes.append("A key that is revoked cannot be brought back.")
    path = f"/admin/keys/{quote(key['key_id'], safe='')}"
    return Plan("DELETE", path, None, rows, notes, f"The key {key['name']} is revoked.")


KEY_PLANS: dict[str, Callable[[Form, Known], Plan]] = {
    "make": make,
    "rotate": rotate,
    "revoke": revoke,
}
KEY_TITLES = {"make": "Make a key", "rotate": "Rotate a key", "revoke": "Revoke a key"}


def _days(form: Form) -> int | None:
    """Return in how many days a key expires; None: it does not."""
    return whole(form, "days", 1) if form.get("days") else None


def _users(body: dict[str, Any]) -> str:
    named = list(body.get("user_ids", ()))
    prefix = body.get("user_id_prefix")
    return ", ".join([*named, *([f"{prefix}…"] if prefix else [])]) or "all"
