"""A Stripe on this machine, and what an application does with it through the official SDK."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import httpx
import stripe

from bench.processes import free_port
from tests.service.running import wait_until

SECRET = "whsec_local"
KEY = "sk_test_local"


class LocalStripe:
    """One local Stripe that tells a service of its events."""

    def __init__(self, port: int, webhook: str | None = None) -> None:
        self.address = f"http://127.0.0.1:{port}"
        addresses = dict.fromkeys(("api", "files", "connect", "meter_events"), self.address)
        # Its own types know nothing of fields that are given by name, as here.
        self.client: Any = stripe.StripeClient(KEY, base_addresses=cast("Any", addresses)).v1
        self._command = [
            sys.executable,
            str(Path(__file__).parents[1] / "local_stripe.py"),
            f"--port={port}",
            *([f"--webhook={webhook}", f"--secret={SECRET}"] if webhook else []),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command)
        wait_until(self._answers, 30.0)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            httpx.get(f"{self.address}/v1/balance", auth=(KEY, ""))
        except httpx.TransportError:
            return False
        return True

    def config(self, path: str, **fields: Any) -> None:
        httpx.post(f"{self.address}/_config/{path}", json=fields or None).raise_for_status()

    def customer(self, user_id: str | None, **fields: Any) -> str:
        metadata = {} if user_id is None else {"user_id": user_id}
        customer = self.client.customers.create({"metadata": metadata, **fields})
        card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}
        method = self.client.payment_methods.create({"type": "card", "card": card})
        self.client.payment_methods.attach(method.id, {"customer": customer.id})
        settings = {"default_payment_method": method.id}
        self.client.customers.update(customer.id, {"invoice_settings": settings})
        return str(customer.id)

    def price(self, credits_: int, days: int | None = None) -> str:
        """Return a price a month; with `days` one that is sold once."""
        if days is not None:
            return self.price_of_one(credits=credits_, days=days)
        return self._price({"credits": credits_}, recurring={"interval": "month"})

    def price_of_one(self, **said: int) -> str:
        """Return a price that is sold once, with what its metadata say."""
        return self._price(said)

    def _price(self, said: dict[str, int], **fields: Any) -> str:
        params: dict[str, Any] = {
            "currency": "eur",
            "unit_amount": 2900,
            "product_data": {"name": "Pro"},
            "metadata": {f"allotment_{name}": str(number) for name, number in said.items()},
        }
        return str(self.client.prices.create(params | fields).id)

    def check_out(self, user_id: str, price: str, quantity: int) -> str:
        """Let a user pay for something once, and return the charge."""
        customer = self.customer(None)
        session = self.client.checkout.sessions.create(
            {
                "mode": "payment",
                "customer": customer,
                "client_reference_id": user_id,
                "line_items": [{"price": price, "quantity": quantity}],
            }
        )
        self.config(f"pay/{session.id}")
        (charge,) = self.client.charges.list({"customer": customer}).data
        return str(charge.id)

    def subscribe(self, customer: str, price: str, quantity: int = 1, **fields: Any) -> str:
        items = [{"price": price, "quantity": quantity}]
        created = self.client.subscriptions.create({"customer": customer, "items": items, **fields})
        return str(created.id)


def port_and_settings() -> tuple[int, dict[str, str]]:
    """Return a free port for a local Stripe, and the settings of a service that uses it."""
    port = free_port()
    return port, settings_for(port)


def settings_for(port: int) -> dict[str, str]:
    """Return the settings of a service that uses a local Stripe."""
    return {
        "ALLOTMENT_STRIPE_API_KEY": KEY,
        "ALLOTMENT_STRIPE_WEBHOOK_SECRETS": f"whsec_former,{SECRET}",
        "ALLOTMENT_STRIPE_API_BASE": f"http://127.0.0.1:{port}",
    }
