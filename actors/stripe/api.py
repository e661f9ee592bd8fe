"""The Stripe adapter: the only importer of stripe. It speaks plain JSON values and our errors.

StripeError
├── StripeAwayError       no answer, or one that says: later. A repeat may help
│   └── StripeRestingError  it was not even asked, because of that
└── StripeRefusedError    the request or the key is wrong. A repeat does not help

Nothing of the SDK's objects leaves this file: pickled, they would carry the API key.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import stripe

from actors.stripe.payloads import APPLICABLE
from actors.stripe.shapes import Payload

TOLERANCE_SECONDS = 300  # How old, or how far ahead, a signature may be.
REQUEST_SECONDS_MAX = 10.0
PAGE = 100  # Objects a page: Stripe gives no more.

T = TypeVar("T")


class StripeError(Exception):
    """Stripe did not do what was asked. Messages carry no keys and no bodies."""


class StripeAwayError(StripeError):
    """Stripe did not answer, is overloaded, or asks for fewer requests."""


class StripeRestingError(StripeAwayError):
    """Stripe has not answered a moment ago, so it was not asked: this was no attempt."""


class StripeRefusedError(StripeError):
    """Stripe refuses the request, or the key."""


class BadSignatureError(Exception):
    """The body was not signed with one of our secrets, or not now."""


def verify_signature(body: bytes, header: str, secrets: Sequence[str], now: float) -> str:
    """Return the text of a body that one of the secrets has signed. Raises BadSignatureError."""
    try:
        text = body.decode()
        stamps = [part[2:] for part in header.split(",") if part.startswith("t=")]
        ahead = int(stamps[0]) - now
    except (UnicodeDecodeError, ValueError, IndexError) as error:
        raise BadSignatureError from error
    if abs(ahead) > TOLERANCE_SECONDS:  # The SDK looks at the past only.
        raise BadSignatureError
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(text, header, secret, None)
        except (stripe.SignatureVerificationError, ValueError, TypeError):
            continue
        return text
    raise BadSignatureError


class StripeApi(Protocol):
    """What is asked of Stripe. Every call blocks; may raise StripeError. None: there is none."""

    def subscription(self, subscription_id: str) -> Payload | None:
        """Return a subscription with all of its items."""

    def invoice(self, invoice_id: str) -> Payload | None:
        """Return an invoice with all of its lines."""

    def price(self, price_id: str) -> Payload | None:
        """Return a price."""

    def product(self, product_id: str) -> Payload | None:
        """Return a product."""

    def customer(self, customer_id: str) -> Payload | None:
        """Return a customer."""

    def checkout_lines(self, session_id: str) -> list[Payload]:
        """Return what a checkout sold."""

    def checkout(self, session_id: str) -> Payload | None:
        """Return a checkout."""

    def charge(self, charge_id: str) -> Payload | None:
        """Return a charge."""

    def refund(self, refund_id: str) -> Payload | None:
        """Return a refund."""

    def dispute(self, dispute_id: str) -> Payload | None:
        """Return a dispute."""

    def disputes(self, charge_id: str) -> list[Payload]:
        """Return all disputes of a charge."""

    def invoice_paid_by(self, payment_intent: str) -> str | None:
        """Return the id of the invoice that a payment paid."""

    def checkout_paid_by(self, payment_intent: str) -> str | None:
        """Return the id of the checkout that a payment paid."""

    def page(self, kind: str, after: str | None, since: int | None) -> tuple[list[Payload], bool]:
        """Return (a page, whether there are more) of subscriptions, paid invoices, or events.

        Subscriptions come with their customers. Events are those that can be applied.
        """


class StripeClientApi:
    """A `StripeApi` on the official SDK."""

    def __init__(self, key: str, base: str | None) -> None:
        addresses: dict[str, Any] = {}
        if base:  # All of them: a test must not reach the real ones.
            names = ("api", "files", "connect", "meter_events")
            addresses = {"base_addresses": dict.fromkeys(names, base)}
        self._client = stripe.StripeClient(
            key,
            max_network_retries=0,  # Repeating is ours: it is bounded and shared by all.
            http_client=stripe.RequestsClient(timeout=REQUEST_SECONDS_MAX),
            **addresses,
        )

    def subscription(self, subscription_id: str) -> Payload | None:
        found = _ask(lambda: self._client.v1.subscriptions.retrieve(subscription_id))
        if found is not None and (found.get("items") or {}).get("has_more"):
            params: Any = {"subscription": subscription_id, "limit": PAGE}
            items = _all(lambda: self._client.v1.subscription_items.list(params))
            found["items"] = {"data": items, "has_more": False}
        return found

    def invoice(self, invoice_id: str) -> Payload | None:
        found = _ask(lambda: self._client.v1.invoices.retrieve(invoice_id))
        if found is not None and (found.get("lines") or {}).get("has_more"):
            params: Any = {"limit": PAGE}
            lines = _all(lambda: self._client.v1.invoices.line_items.list(invoice_id, params))
            found["lines"] = {"data": lines, "has_more": False}
        return found

    def price(self, price_id: str) -> Payload | None:
        found = _ask(lambda: self._client.v1.prices.retrieve(price_id))
        return found or _ask(lambda: self._client.v1.plans.retrieve(price_id))

    def product(self, product_id: str) -> Payload | None:
        return _ask(lambda: self._client.v1.products.retrieve(product_id))

    def customer(self, customer_id: str) -> Payload | None:
        return _ask(lambda: self._client.v1.customers.retrieve(customer_id))

    def checkout(self, session_id: str) -> Payload | None:
        return _ask(lambda: self._client.v1.checkout.sessions.retrieve(session_id))

    def checkout_lines(self, session_id: str) -> list[Payload]:
        params: Any = {"limit": PAGE}
        return _all(lambda: self._client.v1.checkout.sessions.line_items.list(session_id, params))

    def charge(self, charge_id: str) -> Payload | None:
        return _ask(lambda: self._client.v1.charges.retrieve(charge_id))

    def refund(self, refund_id: str) -> Payload | None:
        return _ask(lambda: self._client.v1.refunds.retrieve(refund_id))

    def dispute(self, dispute_id: str) -> Payload | None:
        return _ask(lambda: self._client.v1.disputes.retrieve(dispute_id))

    def disputes(self, charge_id: str) -> list[Payload]:
        params: Any = {"charge": charge_id, "limit": PAGE}
        return _all(lambda: self._client.v1.disputes.list(params))

    def invoice_paid_by(self, payment_intent: str) -> str | None:
        params: Any = {"payment": {"type": "payment_intent", "payment_intent": payment_intent}}
        found = _ask(lambda: self._client.v1.invoice_payments.list(params))
        data = (found or {}).get("data") or []
        return str(data[0].get("invoice")) if data else None

    def checkout_paid_by(self, payment_intent: str) -> str | None:
        params: Any = {"payment_intent": payment_intent}
        found = _ask(lambda: self._client.v1.checkout.sessions.list(params))
        data = (found or {}).get("data") or []
        return str(data[0].get("id")) if data else None

    def page(self, kind: str, after: str | None, since: int | None) -> tuple[list[Payload], bool]:
        params: dict[str, Any] = {"limit": PAGE}
        if after is not None:
            params["starting_after"] = after
        if since is not None:
            params["created"] = {"gte": since}
        if kind == "subscriptions":
            params |= {"status": "all", "expand": ["data.customer"]}
        if kind == "invoices":
            params["status"] = "paid"
        if kind == "events":
            params["types"] = sorted(APPLICABLE)
        service: Any = getattr(self._client.v1, kind)
        found = _ask(lambda: service.list(params)) or {}
        return list(found.get("data") or []), bool(found.get("has_more"))


def _ask(request: Callable[[], Any]) -> dict[str, Any] | None:
    """Return the answer as plain values; None where Stripe has no such object."""
    try:
        answer: dict[str, Any] = request().to_dict(for_json=True)
    except stripe.StripeError as error:
        raised = _ours(error)
        if raised is None:
            return None
        raise raised from None  # The SDK's errors carry headers and bodies.
    return answer


def _all(request: Callable[[], Any]) -> list[Payload]:
    try:
        return [item.to_dict(for_json=True) for item in request().auto_paging_iter()]
    except stripe.StripeError as error:
        raise _ours(error) or StripeRefusedError("there is no such object") from None


def _ours(error: stripe.StripeError) -> StripeError | None:
    """Return the error in our words; None where it says that there is no such object."""
    status = error.http_status
    if status == 404:
        return None
    told = f"{type(error).__name__} {status or ''}".strip()
    if status is None or status in (408, 409, 425, 429) or status >= 500:
        return StripeAwayError(told)
    return StripeRefusedError(told)
