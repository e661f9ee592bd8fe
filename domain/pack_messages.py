"""What is asked about packs, and what happens to them but charges, holds and corrections."""

from dataclasses import dataclass
from datetime import datetime

from domain.packs import PRIORITY_DEFAULT, Category, Pack
from domain.payments import Payment
from domain.values import Credits, UserId

# --- commands -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddPack:
    """Add a pack of `amount` credits, less the system's portion."""

    user_id: UserId
    amount: Credits
    payment: Payment
    expires_at: datetime | None = None
    """None: never."""
    priority: int = PRIORITY_DEFAULT
    category: Category = Category.PAID
    paid_to_stripe: bool = False
    """Then it is added however many there are, even one that is over."""


@dataclass(frozen=True, slots=True)
class ExpirePack:
    """Write down what has lapsed of a pack, if it has expired and nobody has written so."""

    user_id: UserId
    pack_id: str


# --- changes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PackAdded:
    """A pack was bought or given."""

    pack: Pack
    amount: Credits
    system_portion: Credits
    payment: Payment


@dataclass(frozen=True, slots=True)
class PackExpired:
    """What is left of a pack has lapsed; what holds have set aside lapses when it is freed."""

    pack_id: str
    expires_at: datetime
    lapsed_credits: Credits


@dataclass(frozen=True, slots=True)
class RefundedPack:
    """A pack of whose payment refunds leave another share than before."""

    pack_id: str
    credit_amount: Credits
    """What is taken back more than before; negative: it is given again."""
    version: int
    """Counts what was told of the payment."""
