"""What an operator may change about a user: the request each form means, and what it would do.

A `Plan` is made of a form and of what the service says now. It is shown before it is carried out.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

from actors.console import words

REASON_LENGTH_MAX = 200
Form = Mapping[str, str]
Known = Mapping[str, Any]
"""What the service says now, by name: `status`, `subscription`, `hold`, `record`."""


class WrongFieldError(ValueError):
    """A field of a form cannot be read; the text is for who filled it in."""


class Plan(NamedTuple):
    """A request, and what it changes: a name, what is now and what will be."""

    method: str
    path: str
    body: dict[str, Any] | None
    rows: list[tuple[str, str, str]]
    notes: list[str]
    done: str
    """What is told when it is done."""


def add_credits(form: Form, known: Known) -> Plan:
    """Return the plan to add credits over days, or as a pack."""
    status, amount, reason = known["status"], whole(form, "amount", 1), reason_of(form)
    payment = {
        "method": "console",
        "transaction_id": f"{reason} ({form['once'][:8]})",
        "amount": 0,
        "currency": "none",
    }
    body = {"user_id": status["user_id"], "amount": amount, "payment": payment}
    total = status["total_credits"]
    share = status["system_portion"] / total if total else None
    spendable = amount if share is None else round(amount * (1 - share))
    about = "up to" if share is None else "about"
    notes = ["The system keeps its portion of it; the rest can be spent."]
    if form.get("kind") == "pack":
        ends = day_of(form, "expires", status["timezone"])
        body |= {"kind": "pack", "expires_at": ends}
        after = f"{about} {words.number(status['pack_credits'] + spendable)}"
        rows = [("Credits in packs", words.number(status["pack_credits"]), after)]
        rows.append(
            ("The pack expires", "", words.day(ends, status["timezone"]) if ends else "never")
        )
    else:
        days = whole(form, "days", 1)
        body |= {"kind": "daily", "days": days}
        limit = status["daily_credit_limit"]
        after = f"{about} {words.number(limit + spendable // days)}"
        rows = [("Limit of a day", words.number(limit), after)]
        rows.append(("Of these from today on", "", f"{days} days"))
    return Plan(
        "POST",
        "/subscription/credits",
        body,
        rows,
        notes,
        f"{words.number(amount)} credits are added.",
    )


def adjust(form: Form, known: Known) -> Plan:
    """Return the plan to give credits, to take some, or to set what is left."""
    status, reason = known["status"], reason_of(form)
    left = status["remaining_credits"]
    body: dict[str, Any] = {"user_id": status["user_id"], "reason": reason}
    amount = whole(form, "amount", 0)
    if form.get("how") == "set":
        body["remaining_credits"] = amount
        change = amount - left
    else:
        change = -amount if form.get("how") == "take" else amount
        body["credit_amount"] = change
    if form.get("allow_debt"):
        body["allow_debt"] = True
    notes = ["What is given is a pack of its own, which never expires."] if change > 0 else []
    rows = [("Can be spent", words.number(left), words.number(left + change))]
    return Plan("POST", "/subscription/adjustments", body, rows, notes, "The balance is adjusted.")


def reverse(form: Form, known: Known) -> Plan:
    """Return the plan to give a charge back, or a part of it."""
    record, reason = known["record"], reason_of(form)
    left = record["credit_amount"] - record["reversed_credits"]
    amount = whole(form, "amount", 1) if form.get("amount") else left
    if amount > left:
        raise WrongFieldError(f"Only {words.number(left)} credits of this charge are left.")
    path = f"/subscription/usage/{quote(record['usage_id'], safe='')}/reversals"
    rows = [
        (
            "Given back of this charge",
            words.number(record["reversed_credits"]),
            words.number(record["reversed_credits"] + amount),
        ),
        ("Charged", words.number(left), words.number(left - amount)),
    ]
    notes = ["Credits go back to where they came from; what came from an ended source lapses."]
    return Plan(
        "POST",
        path,
        {"credit_amount": amount, "reason": reason},
        rows,
        notes,
        f"{words.number(amount)} credits are given back.",
    )


def release(form: Form, known: Known) -> Plan:
    """Return the plan to release a hold."""
    hold, status, reason = known["hold"], known["status"], reason_of(form)
    amount = hold["credit_amount"]
    left = status["remaining_credits"]
    rows = [
        ("Held by this hold", words.number(amount), words.number(0)),
        ("Can be spent", words.number(left), f"up to {words.number(left + amount)}"),
    ]
    notes = ["The program that made the hold can no longer settle it."]
    path = f"/subscription/holds/{quote(hold['hold_id'], safe='')}"
    return Plan(
        "DELETE",
        path,
        {"reason": reason},
        rows,
        notes,
        f"{words.number(amount)} credits are free again.",
    )


def change(form: Form, known: Known) -> Plan:
    """Return the plan to change a subscription's status, end or time zone."""
    one, reason = known["subscription"], reason_of(form)
    zone = form.get("timezone") or one["timezone"]
    ends = day_of(form, "end", zone)
    asked = {"status": form.get("status"), "timezone": zone, "end_date": ends}
    before = {name: one[name] for name in asked}
    before_day = words.day(one["end_date"], zone)
    if not ends or words.day(ends, zone) == before_day:
        asked["end_date"] = one["end_date"]
    changed = {name: value for name, value in asked.items() if value and value != before[name]}
    if not changed:
        raise WrongFieldError("Nothing would change.")
    rows = [
        (
            words.label(name).capitalize(),
            _shown(name, before[name], zone),
            _shown(name, value, zone),
        )
        for name, value in changed.items()
    ]
    notes = []
    if "timezone" in changed:
        notes.append(
            "Days that are open end where they are; the next one begins at the new midnight."
        )
    path = f"/subscriptions/{quote(one['subscription_id'], safe='')}"
    return Plan(
        "PATCH", path, changed | {"reason": reason}, rows, notes, "The subscription is changed."
    )


PLANS: dict[str, Callable[[Form, Known], Plan]] = {
    "add": add_credits,
    "adjust": adjust,
    "reverse": reverse,
    "release": release,
    "change": change,
}
TITLES = {
    "add": "Add credits",
    "adjust": "Adjust the balance",
    "reverse": "Reverse a charge",
    "release": "Release a hold",
    "change": "Change a subscription",
}


def whole(form: Form, name: str, least: int) -> int:
    """Return a whole number of a form."""
    text = form.get(name, "").replace(" ", "").replace("\u202f", "")
    if not text.isdecimal() or not text.isascii() or len(text) > 16 or int(text) < least:
        raise WrongFieldError(f"{name.capitalize()} is a whole number of at least {least}.")
    return int(text)


def reason_of(form: Form) -> str:
    """Return why something is changed."""
    reason = form.get("reason", "")
    if not reason or len(reason) > REASON_LENGTH_MAX or not reason.isprintable():
        raise WrongFieldError(f"Say why, in 1 to {REASON_LENGTH_MAX} characters of one line.")
    return reason


def day_of(form: Form, name: str, zone: str) -> str | None:
    """Return the local midnight at which a given day begins."""
    text = form.get(name, "")
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a date alone
    except ValueError:
        raise WrongFieldError(f"{name.capitalize()} is a day such as 2026-12-31.") from None
    local = datetime.combine(day, time(), words.zone_of(zone))
    return f"{local.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def later(text: str) -> str:
    """Return an instant a second later: lists leave out their end."""
    instant = words.parsed(text)
    if instant is None:
        raise WrongFieldError("This charge has no moment.")
    return (instant + timedelta(seconds=1)).isoformat()


def _shown(name: str, value: str, zone: str) -> str:
    return (
        words.day(value, zone)
        if name == "end_date"
        else words.label(value)
        if name == "status"
        else value
    )
