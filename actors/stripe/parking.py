"""How long events wait for a user whom nobody has named yet. Pure.

Giving one up loses nothing: its record is kept, and whoever is named later gets what was paid.
"""

import random
from datetime import datetime, timedelta

from actors.stripe.records import StripeEvent

PARKED_SECONDS_MIN = 60.0  # Pause before an event of an unknown user is tried again; doubled,
PARKED_SECONDS_MAX = 6 * 3600.0  # up to here, give or take a quarter.
PAID_WAITS = timedelta(days=30)  # How long it is waited for the user of credits that were paid for,
UNPAID_WAITS = timedelta(hours=1)  # and of what gives no credits: another product's, mostly.
PARKED_MAX = 10_000  # Events that wait: one more is not waited for.


def parked_pause(attempts: int) -> timedelta:
    """Return how long an event of an unknown user waits after so many attempts."""
    seconds = min(PARKED_SECONDS_MIN * 2.0 ** min(attempts, 20), PARKED_SECONDS_MAX)
    return timedelta(seconds=seconds * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load


def waits_until(event: StripeEvent, *, paid: bool) -> datetime:
    """Return how long an event may wait for its user."""
    return event.received_at + (PAID_WAITS if paid else UNPAID_WAITS)


def is_given_up(event: StripeEvent, now: datetime, *, paid: bool, room: bool) -> bool:
    """Say whether an event is not to wait for its user any longer.

    `room`: fewer events wait than may.
    """
    return waits_until(event, paid=paid) <= now or not (room or event.parked)
