"""Packs that Stripe was paid for."""

from typing import Any

from domain.packs import Pack
from tests.builders.stripe_prices import price
from tests.fakes.stripe_world import ADA, StripeWorld, event

SESSION: dict[str, Any] = {
    "id": "cs_1",
    "mode": "payment",
    "payment_status": "paid",
    "client_reference_id": "ada",
    "customer": "cus_1",
    "currency": "eur",
    "amount_total": 1000,
}
COMPLETED = event("cs", "checkout.session.completed", SESSION, 60)


def sold(**said: str) -> dict[str, Any]:
    metadata = {f"allotment_{name}": text for name, text in said.items()}
    return price("price_p", metadata, type="one_time", recurring=None)


def sells(world: StripeWorld, *of: dict[str, Any], quantity: int = 1) -> None:
    """Let the checkout sell these, and a charge `a` pay for it."""
    world.stripe.lines["cs_1"] = [
        {
            "id": f"li_{n}",
            "price": one,
            "quantity": quantity,
            "amount_total": 500,
            "currency": "eur",
        }
        for n, one in enumerate(of)
    ]
    world.stripe.checkouts_of["pi_a"] = "cs_1"
    world.stripe.objects["cs_1"] = SESSION


async def packs_of(world: StripeWorld) -> list[Pack]:
    await world.status()
    return sorted(world.shard.accounts[ADA].packs, key=lambda pack: str(pack.transaction_id))


async def left(world: StripeWorld) -> int:
    return (await world.status()).pack_credits
