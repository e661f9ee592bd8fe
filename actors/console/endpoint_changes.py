"""What an operator may do about endpoints of webhooks: the request each form means, and what it would do."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from actors.console import words
from actors.console.changes import Form, Known, Plan, WrongFieldError, whole
from domain.events import EventType

EVENT = "event."
"""What a form's fields of types begin with: a form says each name once."""
HOUR_SECONDS = 3600
SHOWN_ONCE = "The secret is shown once, on the next page: nobody can show it again."
MOMENT = "within five seconds"


def make(form: Form, _known: Known) -> Plan:
    """Return the plan to make an endpoint."""
    url, types = form.get("url", ""), types_in(form)
    if not url:
        raise WrongFieldError("Say where events are to go.")
    is_on = _is_on(form)
    body = {"url": url, "events": types, "enabled": is_on}
    rows = [
        ("Address", "", url),
        ("Is sent", "", _types(types)),
        ("Sending", "", _sending(is_on=is_on)),
    ]
    notes = [f"It is sent what happens from then on, {MOMENT}.", SHOWN_ONCE]
    return Plan("POST", "/admin/endpoints", body, rows, notes, "The endpoint is made.")


def change(form: Form, known: Known) -> Plan:
    """Return the plan to change where events go, which, or whether any do."""
    one = known["endpoint"]
    body: dict[str, Any] = {}
    rows = []
    if form.get("url"):
        body["url"] = form["url"]
        rows.append(("Address", one["address"], form["url"]))
    types = types_in(form)
    if set(types) != set(one["events"]):
        body["events"] = types
        rows.append(("Is sent", _types(one["events"]), _types(types)))
    if _is_on(form) != one["enabled"]:
        body["enabled"] = _is_on(form)
        rows.append(
            ("Sending", _sending(is_on=one["enabled"]), _sending(is_on=body["enabled"])),
        )
    if not body:
        raise WrongFieldError("Nothing would change.")
    notes = [f"It is done {MOMENT}."]
    if body.get("enabled") is False:
        notes.append("It keeps its place: on again, it gets what is still kept of the meantime.")
    return Plan("PATCH", path_of(one), body, rows, notes, "The endpoint is changed.")


def rotate(form: Form, known: Known) -> Plan:
    """Return the plan to give an endpoint a new secret: the old one signs, too, for some hours."""
    hours = whole(form, "overlap", 0)
    until = known["now"] + timedelta(hours=hours)
    rows = [
        ("The secret before", "signs", f"signs, too, until {until:%Y-%m-%d %H:%M} UTC"),
        ("The new secret", "", "signs"),
    ]
    return Plan(
        "POST",
        f"{path_of(known['endpoint'])}/rotate",
        {"overlap": hours * HOUR_SECONDS},
        rows,
        [SHOWN_ONCE],
        "The endpoint has a new secret.",
    )


def remove(_form: Form, known: Known) -> Plan:
    """Return the plan to remove an endpoint."""
    one, health = known["endpoint"], known["health"]
    rows = [("The endpoint", _sending(is_on=one["enabled"]), "is removed")]
    if health is not None:
        rows += [
            ("Events on their way to it", words.number(health["undelivered"]), "are not sent"),
            ("Dead letters of it", words.number(health["dead"]), "are removed, too"),
        ]
    notes = ["What is removed cannot be brought back; its secret signs nothing more."]
    return Plan("DELETE", path_of(one), None, rows, notes, "The endpoint is removed.")


ENDPOINT_PLANS: dict[str, Callable[[Form, Known], Plan]] = {
    "make": make,
    "change": change,
    "rotate": rotate,
    "remove": remove,
}
ENDPOINT_TITLES = {
    "make": "Make an endpoint",
    "change": "Change an endpoint",
    "rotate": "Rotate a secret",
    "remove": "Remove an endpoint",
}


def types_in(form: Form) -> list[str]:
    """Return the types of events that a form chooses; none: all."""
    return [str(one) for one in EventType if form.get(f"{EVENT}{one}")]


def path_of(endpoint: Known) -> str:
    """Return where the interface has an endpoint."""
    return f"/admin/endpoints/{quote(endpoint['endpoint_id'], safe='')}"


def _is_on(form: Form) -> bool:
    return form.get("sends") != "nothing"


def _types(types: Iterable[str]) -> str:
    return ", ".join(types) or "every event"


def _sending(*, is_on: bool) -> str:
    return "is sent events" if is_on else "is sent nothing"
