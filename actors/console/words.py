"""Values as people read them: numbers, moments, spans, and the words of the service's states."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.values import Status

MISSING_PARTS = {
    "database": "The database does not answer.",
    "shards": "Some shards do not answer.",
    "sync": "RAM does not hear of what other programs write.",
}
STATUSES = tuple(str(one) for one in Status if one is not Status.NONE)
"""Those that a subscription can have."""
TONES = {
    "active": "good",
    "past_due": "warn",
    "paused": "warn",
    "cancelled": "quiet",
    "expired": "quiet",
    "none": "quiet",
}
NONE = "\N{EN DASH}"
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def readiness(missing: list[str] | None) -> tuple[str, str]:
    """Return the state of `/readyz`: its tone and a sentence."""
    if missing is None:
        return "bad", "The service does not answer."
    if not missing:
        return "good", "Every part of the service answers."
    told = (MISSING_PARTS.get(part, f"It waits for: {part}.") for part in missing)
    return "bad", " ".join(told)


def number(value: float | None) -> str:
    """Return a number with thin groups of three; a dash for none."""
    if value is None:
        return NONE
    if isinstance(value, float) and 0 < abs(value) < 100 and value != int(value):
        return f"{value:,.1f}".replace(",", "\u202f")
    return f"{value:,.0f}".replace(",", "\u202f").replace("-", "\u2212")


def percent(share: float | None) -> str:
    """Return a share, exact enough to see that it is not nothing."""
    if share is None:
        return NONE
    return "0 %" if share == 0 else f"{share * 100:.3g} %"


def moment(text: str | None, zone: str = "UTC") -> str:
    """Return an instant to the minute, in a time zone."""
    instant = parsed(text)
    return NONE if instant is None else f"{instant.astimezone(zone_of(zone)):%Y-%m-%d %H:%M}"


def day(text: str | None, zone: str = "UTC") -> str:
    """Return the calendar day of an instant in a time zone."""
    return moment(text, zone)[:10]


def span(seconds: float | None) -> str:
    """Return a length of time in its largest unit: `0.3 s`, `43 min`, `2 d`."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return f"{seconds:.1f} s"
    size, name = next((one for one in UNITS if seconds >= one[0]), UNITS[-1])
    return f"{int(seconds // size)} {name}"


def away(text: str | None, now: datetime) -> str:
    """Return how far an instant is from now: `in 3 h`, `2 d ago`."""
    instant = parsed(text)
    if instant is None:
        return "never"
    left = (instant - now).total_seconds()
    if abs(left) < 1:
        return "now"
    return f"in {span(left)}" if left > 0 else f"{span(-left)} ago"


def is_past(text: str, now: datetime) -> bool:
    """Say whether an instant is over."""
    instant = parsed(text)
    return instant is not None and instant <= now


def label(text: str) -> str:
    """Return a name of the interface as words."""
    return text.replace("_", " ").replace(".", " ")


def tone(status: str) -> str:
    """Return how a status is shown."""
    return TONES.get(status, "quiet")


def source(one: dict[str, Any]) -> str:
    """Return where credits of a charge came from."""
    amount = number(one.get("credit_amount"))
    return (
        f"{amount} of the day"
        if one.get("source") == "day"
        else f"{amount} of pack {one.get('pack_id')}"
    )


def parsed(text: str | None) -> datetime | None:
    """Return an instant of the interface; None for none, or for what is no instant."""
    try:
        instant = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return instant if instant is None or instant.tzinfo else instant.replace(tzinfo=UTC)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone; UTC for one that is not known here."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def today(now: datetime, zone: str) -> datetime:
    """Return the local moment, of which the date is today's."""
    return now.astimezone(zone_of(zone))


def most_credits(sums: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return sums by a name: those with the most credits come first."""
    return sorted(sums.items(), key=lambda one: (-one[1]["credit_amount"], one[0]))


def json_text(content: object) -> str:
    """Return JSON as people read it."""
    return json.dumps(content, indent=2, ensure_ascii=False)


def reason_in(change: dict[str, Any] | None) -> str:
    """Return why something was decided, as far as the entry says it."""
    told = change or {}
    payment = told.get("payment") or (told.get("grant") or {}).get("payment") or {}
    return str(told.get("reason") or payment.get("transaction_id") or "")
