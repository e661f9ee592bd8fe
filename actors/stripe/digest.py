"""What the waiting events of one subject say together, and records that take it up."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from actors.stripe.objects import StripeObject
from actors.stripe.precedence import ToldState
from actors.stripe.records import Grantable, StripeRecord
from domain.stripe import StripeLink


@dataclass(slots=True)
class Digest:
    """What the waiting events of one subject say together."""

    record: StripeRecord
    told: list[ToldState] = field(default_factory=list)
    invoiced: int = -1
    """When an invoice last changed: the state may have changed with it."""
    must_ask: bool = False
    """Something needs the state, and nobody has told it."""
    partial: bool = False
    """Somebody has told a part of a state, or only that there is one."""
    aged: bool = False
    """The state was nobody's, and nobody's is not asked for: it may have gone on."""
    newest: int = -1
    touched: list[str] = field(default_factory=list)
    """Payments that are to be told to the shard."""


def with_owner(record: StripeRecord, about: StripeObject) -> StripeRecord:
    named = None if record.anonymous else about.user
    return replace(
        record,
        metadata_user=named or record.metadata_user,
        customer_id=about.customer_id or record.customer_id,
    )


def with_payment(record: StripeRecord, payment: str, lines: Sequence[Grantable]) -> StripeRecord:
    return replace(record, payments={**record.payments, payment: tuple(lines)})


def known_as_told(record: StripeRecord, state: StripeLink) -> ToldState:
    """Return what is known already, to be compared with what is told now."""
    return ToldState(record.stamp, record.event_id, state)


def state_of(record: StripeRecord) -> StripeLink | None:
    """Return what a record says of its subscription, as Stripe would."""
    return None if record.state is None else replace(record.state, version=0)
