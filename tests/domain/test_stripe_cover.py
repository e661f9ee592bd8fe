"""Until when a subscription is current because Stripe's goes on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.messages import GrantFromStripe
from domain.stripe import STATUS_OF, ApplyStripeState, StripeLink, covers_until
from domain.values import Credits
from tests.builders.ledger import USER, Ledger, pay

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
GRACE = datetime(2026, 3, 12, tzinfo=UTC)  # The midnight that is at least a day after the period.
LINK = StripeLink(
    subscription_id="sub_1",
    customer_id="cus_1",
    status="active",
    created=NOON - timedelta(days=30),
    period_end=NOON,
    cancel_at=None,
    ended_at=None,
    items=(),
    version=1,
)


@pytest.mark.parametrize(
    ("cancel_at", "wanted"),
    [
        (None, GRACE),
        (NOON, NOON),
        (NOON - timedelta(days=3), NOON - timedelta(days=3)),
        (NOON + timedelta(days=365), GRACE),
    ],
)
def test_a_cancellation_covers_no_more_than_the_period(
    cancel_at: datetime | None, wanted: datetime
) -> None:
    assert covers_until(replace(LINK, cancel_at=cancel_at), "UTC") == wanted


def test_without_a_period_the_cancellation_is_the_end() -> None:
    link = replace(LINK, period_end=None, cancel_at=NOON)

    assert covers_until(link, "UTC") == NOON


@pytest.mark.parametrize("status", STATUS_OF)
def test_a_period_that_was_over_before_begins_no_subscription(status: str) -> None:
    ledger, over = Ledger(), NOON - timedelta(days=1)
    link = replace(LINK, status=status, period_end=over, ended_at=over)

    ledger.do(ApplyStripeState(USER, link), GRACE)

    assert ledger.account.subscriptions == ()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"])
@pytest.mark.parametrize("follows", [False, True])
def test_stripe_ends_what_it_gave_with_the_open_day_whatever_the_zone_has_become(
    zone: str, *, follows: bool
) -> None:
    ledger, ends = Ledger(), NOON + timedelta(days=30)
    paid = GrantFromStripe(USER, Credits(900), NOON, ends, pay("in_1"), "sub_1")
    ledger.do(paid, NOON)
    if follows:
        ledger.do(ApplyStripeState(USER, replace(LINK, period_end=ends)), NOON)

    ledger.change(NOON, timezone=zone)
    over = replace(LINK, status="canceled", ended_at=NOON, version=3)
    ledger.do(ApplyStripeState(USER, over), NOON)

    shown = ledger.status(NOON)
    assert shown.end_date == shown.resets_at
