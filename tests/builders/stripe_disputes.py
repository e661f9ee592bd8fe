"""Disputes and refunds as Stripe tells of them."""

from typing import Any

from tests.builders.stripe_money import charge
from tests.fakes.stripe_world import StripeWorld, event


def dispute(status: str, amount: int = 2900, of: str = "a", **fields: Any) -> dict[str, Any]:
    about = {"id": f"dp_{of}", "object": "dispute", "charge": f"ch_{of}", "amount": amount}
    return about | {"payment_intent": f"pi_{of}", "status": status} | fields


def refund(status: str, amount: int = 2900, of: str = "a") -> dict[str, Any]:
    about = {"id": f"re_{of}", "object": "refund", "charge": f"ch_{of}", "amount": amount}
    return about | {"payment_intent": f"pi_{of}", "status": status}


class Told:
    """What Stripe knows of charges, and the events that tell of it."""

    def __init__(self, world: StripeWorld) -> None:
        self.world = world
        self.count = 0

    def know(self, about: dict[str, Any]) -> dict[str, Any]:
        self.world.stripe.objects[about["id"]] = about
        return about

    def tell(self, kind: str, about: dict[str, Any]) -> str:
        self.count += 1
        return event(f"m{self.count}", kind, self.know(about), 20 + self.count)

    def charged(self, of: str, amount: int, back: int = 0, **fields: Any) -> str:
        """Change the charge, and return the event of its refund."""
        return self.tell("charge.refunded", charge(of, amount, back, **fields))
