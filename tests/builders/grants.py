"""Grants, and what they give."""

from hypothesis import strategies as st

from domain.grants import Grant
from domain.subscription import Subscription
from domain.values import Credits, Status
from tests.builders.ledger import NOON, ONE_DAY, utc

FIRST = NOON.date()
CAPS = st.sampled_from([None, 0, 1, 25, 1000])


def giving(spendable: int, days: int, *, timezone: str = "UTC") -> Subscription:
    grant = Grant("a", Credits(spendable), Credits(0), FIRST, days)
    return Subscription(
        "s", NOON, utc("2026-03-02") + days * ONE_DAY, Status.ACTIVE, timezone, Credits(0), (grant,)
    )


def credits_or_none(cap: int | None) -> Credits | None:
    return None if cap is None else Credits(cap)
