"""What lives are drawn from, and what is short in them."""

from typing import Any

from domain.messages import Refusal
from domain.values import Credits, Status

STATUSES = [*[Status.ACTIVE] * 4, Status.PAST_DUE, Status.PAUSED, Status.CANCELLED, Status.EXPIRED]
CAPS = {"full": None, "none": Credits(0), 25: Credits(25), 400: Credits(400)}
ROLLOVERS: list[str | int] = ["full", "none", 25, 400]
ZONES = [
    "UTC",
    "Pacific/Auckland",
    "Africa/Cairo",
    "America/Santiago",
    "Asia/Beirut",
    "America/Havana",
    "Pacific/Kiritimati",
]


def shortfall_of(refusal: Refusal) -> dict[str, Any]:
    assert refusal.shortfall is not None
    return {
        "limit": refusal.shortfall.limit,
        "remaining_credits": refusal.shortfall.remaining_credits,
        "required_credits": refusal.shortfall.required_credits,
        "available_at": refusal.shortfall.available_at,
    }
