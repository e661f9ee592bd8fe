"""What is asked of Stripe: few requests a second, prices remembered, and their meaning for us."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from actors.stripe.api import StripeApi, StripeAwayError, StripeRestingError
from actors.stripe.objects import (
    About,
    Charge,
    Checkout,
    Customer,
    Invoice,
    Line,
    Movement,
    Notice,
    Payment,
    Price,
    Subscription,
    UnreadablePayloadError,
)
from actors.stripe.pace import Pace
from actors.stripe.payloads import read_object
from actors.stripe.prices import (
    CREDITS,
    DAYS,
    EXPIRES,
    PRIORITY,
    expiry_after,
    number_of,
    times,
)
from actors.stripe.prorations import Correction, credits_of
from actors.stripe.records import Grantable
from actors.stripe.shapes import (
    Payload,
    read_charge,
    read_checkout,
    read_customer,
    read_invoice,
    read_line,
    read_movement,
    read_price,
    read_subscription,
)
from domain.api.credit_requests import GRANT_DAYS_MAX
from domain.values import CREDITS_MAX

REQUESTS_PER_SECOND = 20.0  # Stripe allows 25 a second to one endpoint of a sandbox:
RECONCILING_REQUESTS_PER_SECOND = 4.0  # those who apply events and who compare ask beside another.
AWAY_SECONDS = 2.0  # How long nobody asks after Stripe did not answer.
PRICE_SECONDS = 60.0  # How long a price's metadata are remembered.
PRICES_MAX = 1_000

T = TypeVar("T")


class Lookups:
    """Asks Stripe. Every method may raise StripeError."""

    def __init__(
        self,
        api: StripeApi,
        monotonic: Callable[[], float],
        pace: Pace | None = None,
        *,
        urgent: bool = True,
    ) -> None:
        """`pace`: shared by all who ask with one budget; those that are `urgent` go first."""
        self._api = api
        self._monotonic = monotonic
        self._pace = pace or Pace(monotonic, REQUESTS_PER_SECOND)
        self._urgent = urgent
        self._away_until = 0.0
        self._prices: dict[str, tuple[float, Price]] = {}
        self.requests = 0

    async def subscription(self, subscription_id: str) -> Subscription | None:
        """Return a subscription as it is now; None where Stripe has none."""
        return await self._read(lambda: self._api.subscription(subscription_id), read_subscription)

    async def customer(self, customer_id: str) -> Customer | None:
        """Return a customer as it is now."""
        return await self._read(lambda: self._api.customer(customer_id), read_customer)

    async def whole(self, event: Notice) -> About | None:
        """Return what an event is about: Stripe is asked where a thin one only names it."""
        object_id, kind = event.about.id, event.kind
        if not event.is_thin or object_id is None:
            return None if event.is_thin else event.about
        ask = {
            "invoice": self._api.invoice,
            "checkout.session": self._api.checkout,
            "charge": self._api.charge,
            "charge.refund": self._api.refund,
            "refund": self._api.refund,
            "charge.dispute": self._api.dispute,
        }.get(kind.rpartition(".")[0])
        if ask is None:
            return None
        return await self._read(lambda: ask(object_id), lambda found: read_object(kind, found))

    async def page(
        self, kind: str, after: str | None, since: int | None
    ) -> tuple[list[Payload], bool]:
        """Return a page of a list, and whether there are more."""
        return await self._ask(lambda: self._api.page(kind, after, since))

    async def paid_lines(
        self, invoice: Invoice, paid_at: datetime, given_back: int
    ) -> tuple[list[Grantable], int]:
        """Return what the lines of a paid invoice stand for, and what is given back from then on.

        `given_back`: credits that stayed although their money went back; upgrades give so many less.
        Raises UnreadablePayloadError.
        """
        invoice_id = invoice.id or ""
        if invoice.has_more_lines:
            invoice = await self._invoice(invoice_id) or invoice
        found: list[Grantable] = []
        corrections: list[Correction] = []
        for line in invoice.lines:
            price = await self._price_of(line)
            credits_each = await self._number(price, CREDITS)
            if not credits_each or price.is_metered:
                continue
            if line.is_proration:
                corrections.append(Correction(line, price, credits_each))
            elif line.quantity > 0:
                credits_ = times(credits_each, line.quantity)
                one = _paid(line, credits_, line.amount, invoice)
                if price.is_sold_once:
                    found.append(await self._on_its_terms(one, price, paid_at))
                else:
                    found.append(_over_its_period(one, line))
        net = times(sum(credits_of(corrections)), 1) - given_back
        if net > 0:  # An upgrade; what a downgrade gives back stays given.
            last = max((one.line for one in corrections), key=lambda line: line.period()[1])
            found.append(_over_its_period(_paid(last, net, last.amount, invoice), last))
        return _named(found, invoice_id), min(max(-net, 0), CREDITS_MAX)

    async def sold_once(self, session: Checkout, paid_at: datetime) -> list[Grantable]:
        """Return what a one-off checkout sold. Raises UnreadablePayloadError."""
        session_id = session.id or ""
        found: list[Grantable] = []
        for sold in await self._ask(lambda: self._api.checkout_lines(session_id)):
            line = read_line(sold)
            price = await self._price_of(line)
            credits_each = await self._number(price, CREDITS)
            if not credits_each:
                continue
            credits_ = times(credits_each, line.quantity)
            one = _paid(line, credits_, line.amount_total, session)
            found.append(await self._on_its_terms(one, price, paid_at))
        return _named(found, session_id)

    async def charge(self, charge_id: str) -> Charge | None:
        """Return a charge as it is now."""
        return await self._read(lambda: self._api.charge(charge_id), read_charge)

    async def disputes(self, charge_id: str) -> list[Movement]:
        """Return all disputes of a charge as they are now."""
        found = await self._ask(lambda: self._api.disputes(charge_id))
        return [read_movement(one) for one in found]

    async def paid_by(self, charge: Movement) -> tuple[str, str, int] | None:
        """Return (payment, subject, its whole amount) that a charge paid for; None: none of ours.

        Refunds and disputes name their payment as charges do.

        The amount is 0 where Stripe does not say it.
        """
        intent, invoice_id = charge.intent_id, charge.invoice_id
        if invoice_id is None and intent is not None:
            invoice_id = await self._ask(lambda: self._api.invoice_paid_by(intent))
        if invoice_id is not None:
            invoice = await self._invoice(invoice_id)
            if invoice is not None and invoice.subscription_id is not None:
                return invoice_id, invoice.subscription_id, invoice.total
        if intent is None:
            return None
        # A checkout may have made the invoice: what was sold is known by the checkout.
        session_id = await self._ask(lambda: self._api.checkout_paid_by(intent))
        if session_id is None:
            return None
        session = await self._read(lambda: self._api.checkout(session_id), read_checkout)
        return session_id, session_id, 0 if session is None else session.total

    async def _invoice(self, invoice_id: str) -> Invoice | None:
        return await self._read(lambda: self._api.invoice(invoice_id), read_invoice)

    async def _price_of(self, line: Line) -> Price:
        if line.price.metadata is not None or line.price.id is None:
            return line.price
        return await self._remembered(line.price.id, self._api.price)

    async def _on_its_terms(self, paid: Grantable, price: Price, paid_at: datetime) -> Grantable:
        """Return what was sold once, as its price says: over days, or as a pack."""
        days = await self._number(price, DAYS)
        if days is not None:
            return replace(paid, days=days)
        expires_at = expiry_after(paid_at, await self._number(price, EXPIRES))
        return replace(paid, expires_at=expires_at, priority=await self._number(price, PRIORITY))

    async def _number(self, price: Price, name: str) -> int | None:
        """Return a number of a price's metadata, else of its product's. What is said is said: 0, too.

        UnreadablePayloadError: it is a mistake. Whoever mends it need not wait until it is forgotten.
        """
        about = price
        try:
            found = number_of(price, name)
            product = price.product
            if found is not None or product is None:
                return found
            if product.metadata is None:
                product = await self._remembered(f"{product.id}", self._api.product)
            about = product
            return number_of(product, name)
        except UnreadablePayloadError:
            self._prices.pop(about.id or "", None)
            raise

    async def _remembered(self, name: str, ask: Callable[[str], Payload | None]) -> Price:
        known = self._prices.get(name)
        if known is not None and known[0] > self._monotonic():
            return known[1]
        found = await self._read(lambda: ask(name), read_price) or read_price({})
        if len(self._prices) >= PRICES_MAX:
            self._prices.clear()
        self._prices[name] = (self._monotonic() + PRICE_SECONDS, found)
        return found

    async def _read(
        self, request: Callable[[], Payload | None], read: Callable[[Payload], T]
    ) -> T | None:
        found = await self._ask(request)
        return None if found is None else read(found)

    async def _ask(self, request: Callable[[], T]) -> T:
        """Ask when it is our turn. After no answer nobody asks for a while."""
        self._check_rest()
        await self._pace.turn(urgent=self._urgent)
        self._check_rest()
        self.requests += 1
        try:
            return await asyncio.to_thread(request)
        except StripeAwayError:
            self._away_until = self._monotonic() + AWAY_SECONDS
            raise

    def _check_rest(self) -> None:
        if self._monotonic() < self._away_until:
            raise StripeRestingError("Stripe has not answered a moment ago")


def _paid(line: Line, credits_: int, amount: int, payment: Payment) -> Grantable:
    """Return what was paid for by a line, before it is said how it is given."""
    return Grantable(line.id, credits_, max(amount, 0), line.currency or payment.currency)


def _over_its_period(paid: Grantable, line: Line) -> Grantable:
    start, end = line.period()
    if end - start > timedelta(days=GRANT_DAYS_MAX):
        raise UnreadablePayloadError("a line has a period of more than ten years")
    return replace(paid, period_start=start, period_end=end)


def _named(found: list[Grantable], payment: str) -> list[Grantable]:
    """Name each part after its payment; the only one has the payment's own name."""
    if len(found) == 1:
        return [_renamed(found[0], payment)]
    return [_renamed(one, f"{payment} {one.transaction_id}") for one in found]


def _renamed(one: Grantable, name: str) -> Grantable:
    return replace(one, transaction_id=name)
