"""Stripe's objects as far as we use them, each read once from its JSON (`payloads.py`).

Reading refuses nothing: what is missing or odd is None, 0 or empty here. Who cannot do without it
asks by a method that raises UnreadablePayloadError: a repeat would say the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from actors.stripe.records import StripeEvent
from domain.stripe import StripeLink


class UnreadablePayloadError(ValueError):
    """The payload lacks what it must have. The message names it, and no value."""


@dataclass(frozen=True, slots=True)
class StripeObject:
    """What every object may have; of some nothing else matters."""

    id: str | None
    customer_id: str | None
    user: str | None
    """The user that its metadata name."""


@dataclass(frozen=True, slots=True)
class Named(StripeObject):
    """What a thin event only names: Stripe is asked for the rest."""


@dataclass(frozen=True, slots=True)
class Customer(StripeObject):
    """A customer."""

    has_metadata: bool
    """Whether the payload says anything of them."""


@dataclass(frozen=True, slots=True)
class Subscription(StripeObject):
    """A subscription."""

    link: StripeLink | None
    """None: it has no id or no status."""
    customer_user: str | None
    """The user that its customer names, where the payload carries the customer."""
    livemode: bool
    has_more_items: bool
    """The payload carries only the first of its items."""

    def state(self) -> StripeLink:
        """Return its state. Raises UnreadablePayloadError."""
        if self.link is None:
            raise UnreadablePayloadError("the subscription has no id or no status")
        return self.link


@dataclass(frozen=True, slots=True)
class Price:
    """A price, a plan or a product: what is asked of each is the same."""

    id: str | None
    metadata: Mapping[str, object] | None
    """None: the payload does not say. Else it may be empty."""
    product: "Price | None"
    is_sold_once: bool
    """It is of something that has no period."""
    is_metered: bool
    """It is of what was used, paid for afterwards."""
    unit_amount: int | None
    """What a unit costs; None where there is no one amount for it, or no whole one."""
    interval: str | None
    interval_count: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an invoice or of a checkout."""

    id: str
    price: Price
    """Where it has no metadata, only its id is sure."""
    quantity: int
    """Metered ones have none: 1."""
    amount: int
    amount_total: int
    currency: str
    start: datetime | None
    end: datetime | None
    is_proration: bool
    """It corrects a period that was paid before."""
    credits_items: bool
    """It says itself that it is for what is not used of a former price."""

    def period(self) -> tuple[datetime, datetime]:
        """Return the period it is for. Raises UnreadablePayloadError."""
        if self.start is None or self.end is None or self.end < self.start:
            raise UnreadablePayloadError("a line has no period")
        return self.start, self.end


@dataclass(frozen=True, slots=True)
class Payment(StripeObject):
    """What an invoice and a checkout have in common."""

    subscription_id: str | None
    currency: str
    total: int
    """The whole amount; 0 where Stripe does not say it."""
    said_paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class Invoice(Payment):
    """An invoice."""

    lines: tuple[Line, ...]
    has_more_lines: bool
    """The payload carries only the first of its lines."""


@dataclass(frozen=True, slots=True)
class Checkout(Payment):
    """A checkout session."""

    reference_user: str | None
    """The user that whoever made it has named."""
    mode: str | None
    is_unpaid: bool


@dataclass(frozen=True, slots=True)
class Movement(StripeObject):
    """A refund or a dispute: money of a charge that moves. A charge is one, too."""

    charge_id: str | None
    intent_id: str | None
    """The payment that the charge is of."""
    invoice_id: str | None
    status: str | None
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Charge(Movement):
    """A charge."""

    amount_refunded: int
    may_be_disputed: bool
    """Unless the payload says that it is not."""


About = StripeObject | Named | Customer | Subscription | Invoice | Checkout | Movement | Charge


@dataclass(frozen=True, slots=True)
class Notice:
    """A kept event and what it says."""

    kept: StripeEvent
    kind: str
    """Its type, without the version that thin ones carry."""
    about: About
    is_foreign: bool
    """It is of an account that is only connected to ours."""
    strange_version: str | None
    """The version of a payload whose shape nobody here has read; None: it is known."""

    @property
    def is_thin(self) -> bool:
        """Whether it only names what it is about."""
        return isinstance(self.about, Named)
