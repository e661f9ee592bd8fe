"""Payments: what was paid for credits."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Payment:
    """What was paid, and by which transaction. `amount` is in the currency's minor unit."""

    method: str
    transaction_id: str
    amount: int
    currency: str
