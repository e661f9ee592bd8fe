"""A Stripe on this machine: `localstripe` on loopback, with the events and shapes it lacks.

    python tests/local_stripe.py --port 8420 --webhook http://127.0.0.1:8000/stripe/webhook \\
        --secret whsec_local

localstripe is a program under the GPL: this file runs it as a process of its own, and nothing
that is shipped imports either. Beside Stripe's own interface it understands

    POST /_config/faults {"status": 429, "seconds": 5}    answer the API so; 0: not at all
    POST /_config/renew/sub_…                              begin and pay the next period
    POST /_config/pay/cs_…                                 pay a one-off checkout
    POST /_config/dispute/ch_…/lost                        open a dispute of a whole charge, or settle it
    POST /_config/strangers/2000                           subscriptions of another product
    GET /_config/requests                                  how often the API was asked
"""

import argparse
import asyncio
import copy
import time
from collections import Counter
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from localstripe import resources as R
from localstripe import server
from localstripe import webhooks as W
from localstripe.server import app, get_post_data

API_VERSION = "2026-10-28.endive"
FAULTS: dict[str, Any] = {"status": 200, "until": 0.0}
ASKED: Counter[int] = Counter()
"""Requests to the API by the second in which they came."""
ONE_TIME: dict[str, dict[str, Any]] = {}
CHECKOUTS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
DISPUTES: dict[str, dict[str, Any]] = {}
"""By their charge."""

R.Store.dump_to_disk = lambda self: None  # It would write a file that all users share.


# --- shapes since 2025-03-31.basil --------------------------------------------------------


def price_of(plan: Any) -> Any:
    return {
        "id": plan["id"],
        "object": "price",
        "product": plan["product"],
        "currency": plan["currency"],
        "unit_amount": plan["amount"],
        "metadata": plan["metadata"] or {},
        "type": "recurring",
        "recurring": {
            "interval": plan["interval"],
            "interval_count": plan["interval_count"],
            "usage_type": plan["usage_type"],
        },
    }


def basil_subscription(o: Any) -> None:
    start, end = o.pop("current_period_start", None), o.pop("current_period_end", None)
    for field in ("plan", "quantity", "tax_percent"):
        o.pop(field, None)
    o["items"] = copy.deepcopy(o["items"])
    for item in o["items"]["data"]:
        item |= {"current_period_start": start, "current_period_end": end}
        item |= {"subscription": o["id"], "price": price_of(item["plan"])}
    o.setdefault("billing_mode", {"type": "flexible"})
    if o["status"] == "canceled":
        o["canceled_at"] = o["canceled_at"] or o["ended_at"]


def basil_invoice(o: Any) -> None:
    for field in ("subscription", "payment_intent", "charge", "tax", "tax_percent", "discount"):
        o.pop(field, None)
    o["lines"] = copy.deepcopy(o["lines"])
    for line in o["lines"]["data"]:
        plan = line.pop("plan", None)
        proration = line.pop("proration", False)
        details = {"proration": proration, "subscription": line.pop("subscription", None)}
        line["parent"] = {
            "type": "subscription_item_details",
            "subscription_item_details": details,
        }
        if plan:
            price = {"price": plan["id"], "product": plan["product"]}
            line["pricing"] = {"type": "price_details", "price_details": price}


def basil(o: Any) -> Any:
    if o.get("object") == "subscription":
        basil_subscription(o)
    if o.get("object") == "invoice":
        basil_invoice(o)
    return o


export = R.StripeObject._export
R.StripeObject._export = lambda self, expand=None: basil(export(self, expand))

make_event = R.Event.__init__


def make_new_event(self: Any, kind: Any, data: Any, previous_attributes: Any = None) -> None:
    make_event(self, kind, data)
    self.api_version, self.pending_webhooks = API_VERSION, 1
    self.request = {"id": None, "idempotency_key": None}
    if previous_attributes is not None:
        self.data["previous_attributes"] = previous_attributes


R.Event.__init__ = make_new_event


class Plain:
    """A plain value where localstripe expects one of its objects."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def _export(self, expand: Any = None) -> Any:
        return copy.deepcopy(self.value)


def json_response(value: Any) -> web.StreamResponse:
    response: web.StreamResponse = server.json_response(value)
    return response


def tell(kind: Any, about: Any, previous: Any = None) -> None:
    R.schedule_webhook(R.Event(kind, about, previous))


# --- events it does not send --------------------------------------------------------------

update_subscription = R.Subscription._api_update.__func__
create_subscription = R.Subscription._api_create.__func__


def as_plans(data: Any) -> Any:
    for item in data.get("items") or []:
        if "price" in item:
            item["plan"] = item.pop("price")
    for field in ("proration_behavior", "default_payment_method", "collection_method"):
        data.pop(field, None)
    return data


def new_update(cls: Any, /, id: Any, **data: Any) -> Any:
    before = cls._api_retrieve(id)._export()
    metadata = data.pop("metadata", None) or {}
    obj = update_subscription(cls, id, **as_plans(data))
    obj.metadata = {k: v for k, v in {**obj.metadata, **metadata}.items() if v != ""}
    after = obj._export()
    previous = {k: before[k] for k in before if before[k] != after.get(k)}
    tell("customer.subscription.updated", obj, previous)
    return obj


R.Subscription._api_update = classmethod(new_update)
R.Subscription._api_create = classmethod(
    lambda cls, **data: create_subscription(cls, **as_plans(data))
)

on_paid = R.Invoice._on_payment_success


def new_on_paid(self: Any) -> None:
    on_paid(self)
    tell("invoice.paid", self)


R.Invoice._on_payment_success = new_on_paid

make_refund = R.Refund.__init__


def new_refund(self: Any, **data: Any) -> None:
    make_refund(self, **data)
    charge = R.Charge._api_retrieve(self.charge)
    refunds = [r for r in R.Refund._api_list_all(None, limit=99)._list if r.charge == charge.id]
    value = charge._export()
    value["amount_refunded"] = sum(r.amount for r in refunds)
    value["refunded"] = value["amount_refunded"] >= value["amount"]
    value["payment_intent"] = value["payment_intent"] or intent_of(charge.id)
    value.pop("invoice", None)
    tell("charge.refunded", Plain(value))


def intent_of(charge_id: Any) -> str | None:
    for intent in R.PaymentIntent._api_list_all(None, limit=99)._list:
        if intent.latest_charge is not None and intent.latest_charge.id == charge_id:
            return str(intent.id)
    return None


R.Refund.__init__ = new_refund


# --- prices, checkouts, payments of invoices ----------------------------------------------


async def create_price(request: web.Request) -> web.StreamResponse:
    data = await get_post_data(request)
    recurring = data.get("recurring")
    price_id = "price_" + R.random_id(14)
    product = data.get("product") or R.Product(type="service", **data["product_data"]).id
    common = {"product": product, "metadata": data.get("metadata") or {}}
    if recurring:
        plan = R.Plan(
            id=price_id,
            amount=data["unit_amount"],
            currency=data["currency"],
            interval=recurring["interval"],
            **common,
        )
        return json_response(price_of(plan._export()))
    ONE_TIME[price_id] = {
        "id": price_id,
        "object": "price",
        "type": "one_time",
        "recurring": None,
        "currency": data["currency"],
        "unit_amount": int(data["unit_amount"]),
    } | common
    return json_response(ONE_TIME[price_id])


async def retrieve_price(request: web.Request) -> web.StreamResponse:
    price_id = request.match_info["id"]
    if price_id in ONE_TIME:
        return json_response(ONE_TIME[price_id])
    return json_response(price_of(R.Plan._api_retrieve(price_id)._export()))


async def create_checkout(request: web.Request) -> web.StreamResponse:
    data = await get_post_data(request)
    lines = [
        {
            "id": "li_" + R.random_id(14),
            "object": "item",
            "price": ONE_TIME[item["price"]],
            "quantity": int(item.get("quantity") or 1),
            "currency": ONE_TIME[item["price"]]["currency"],
            "amount_total": ONE_TIME[item["price"]]["unit_amount"] * int(item.get("quantity") or 1),
        }
        for item in data["line_items"]
    ]
    session = {
        "id": "cs_test_" + R.random_id(20),
        "object": "checkout.session",
        "created": int(time.time()),
        "livemode": False,
        "mode": "payment",
        "status": "open",
        "payment_status": "unpaid",
        "customer": data.get("customer"),
        "client_reference_id": data.get("client_reference_id"),
        "metadata": data.get("metadata") or {},
        "currency": lines[0]["currency"],
        "amount_total": sum(line["amount_total"] for line in lines),
        "payment_intent": None,
        "subscription": None,
    }
    CHECKOUTS[session["id"]] = (session, lines)
    return json_response(session)


async def pay_checkout(request: web.Request) -> web.StreamResponse:
    session, _ = CHECKOUTS[request.match_info["id"]]
    intent = R.PaymentIntent(
        amount=session["amount_total"], currency=session["currency"], customer=session["customer"]
    )
    customer = R.Customer._api_retrieve(session["customer"])
    intent.payment_method = customer._get_default_payment_method_or_source().id
    intent._confirm(on_failure_now=lambda: None)
    session |= {"payment_intent": intent.id, "payment_status": "paid", "status": "complete"}
    tell("checkout.session.completed", Plain(session))
    return json_response(session)


def listed(items: Any) -> web.StreamResponse:
    return json_response({"object": "list", "data": items, "has_more": False})


async def list_checkouts(request: web.Request) -> web.StreamResponse:
    intent = request.query.get("payment_intent")
    return listed([s for s, _ in CHECKOUTS.values() if s["payment_intent"] == intent])


async def list_checkout_lines(request: web.Request) -> web.StreamResponse:
    return listed(CHECKOUTS[request.match_info["id"]][1])


async def list_invoice_payments(request: web.Request) -> web.StreamResponse:
    intent = request.query.get("payment[payment_intent]")
    found = R.PaymentIntent._api_retrieve(intent).invoice if intent else None
    paid = {"id": "inpay_1", "object": "invoice_payment", "invoice": found, "status": "paid"}
    return listed([paid] if found else [])


async def dispute_charge(request: web.Request) -> web.StreamResponse:
    charge = R.Charge._api_retrieve(request.match_info["id"])
    about = DISPUTES.setdefault(
        charge.id,
        {
            "id": "dp_" + R.random_id(14),
            "object": "dispute",
            "charge": charge.id,
            "payment_intent": intent_of(charge.id),
            "amount": charge.amount,
            "currency": charge.currency,
        },
    )
    about["status"] = request.match_info["status"]
    tell(
        "charge.dispute.closed" if about["status"] == "lost" else "charge.dispute.updated",
        Plain(about),
    )
    return json_response(about)


async def list_disputes(request: web.Request) -> web.StreamResponse:
    found = DISPUTES.get(request.query.get("charge", ""))
    return listed([found] if found else [])


async def renew(request: web.Request) -> web.StreamResponse:
    subscription = R.Subscription._api_retrieve(request.match_info["id"])
    before = subscription._export()
    subscription.start_date = subscription.current_period_end
    subscription._create_invoice()
    tell("customer.subscription.updated", subscription, {"items": before["items"]})
    return json_response(subscription._export())


async def make_strangers(request: web.Request) -> web.StreamResponse:
    """Make customers of another product, each with a subscription that costs nothing.

    Nobody is told of them: thousands of deliveries would keep this process busy for a minute.
    """
    schedule, R.schedule_webhook = R.schedule_webhook, lambda event: None
    product = R.Product(name="Another", type="service").id
    plan = R.Plan(id="price_another", amount=0, currency="eur", interval="month", product=product)
    for _ in range(int(request.match_info["count"])):
        customer = R.Customer()
        R.Subscription(customer=customer.id, items=[{"plan": plan.id}])
    R.schedule_webhook = schedule
    return web.Response()


list_invoices = R.Invoice._api_list_all.__func__


def new_list_invoices(
    cls: Any, /, url: Any, status: Any = None, created: Any = None, **rest: Any
) -> Any:
    found = list_invoices(cls, url, **rest)
    since = int((created or {}).get("gte", 0))
    found._list = [i for i in found._list if status in (None, i.status) and i.created >= since]
    return found


R.Invoice._api_list_all = classmethod(new_list_invoices)


list_events = R.Event._api_list_all.__func__


def new_list_events(cls: Any, /, url: Any, types: Any = None, **rest: Any) -> Any:
    found = list_events(cls, url, **rest)
    wanted = types.values() if isinstance(types, dict) else types
    found._list = [e for e in found._list if wanted is None or e.type in wanted]
    return found


R.Event._api_list_all = classmethod(new_list_events)


# --- faults, and deliveries that are repeated ---------------------------------------------


async def set_faults(request: web.Request) -> web.StreamResponse:
    data = await get_post_data(request)
    FAULTS["status"] = int(data["status"])
    FAULTS["until"] = time.monotonic() + float(data["seconds"])
    return web.Response()


async def count_requests(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"total": ASKED.total(), "busiest": max(ASKED.values(), default=0)})


@web.middleware
async def fail_on_demand(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/v1/"):
        ASKED[int(time.monotonic())] += 1
    if request.path.startswith("/v1/") and time.monotonic() < FAULTS["until"]:
        if FAULTS["status"] == 0:
            await asyncio.sleep(FAULTS["until"] - time.monotonic())
        else:
            error = {"error": {"type": "api_error", "message": "a fault was asked for"}}
            return web.json_response(error, status=FAULTS["status"])
    return await handler(request)


app.middlewares.insert(0, fail_on_demand)
for method, path, answer in (
    ("POST", "/v1/prices", create_price),
    ("GET", "/v1/prices/{id}", retrieve_price),
    ("POST", "/v1/checkout/sessions", create_checkout),
    ("GET", "/v1/checkout/sessions", list_checkouts),
    ("GET", "/v1/checkout/sessions/{id}/line_items", list_checkout_lines),
    ("GET", "/v1/invoice_payments", list_invoice_payments),
    ("GET", "/v1/disputes", list_disputes),
    ("POST", "/_config/dispute/{id}/{status}", dispute_charge),
    ("POST", "/_config/faults", set_faults),
    ("POST", "/_config/renew/{id}", renew),
    ("POST", "/_config/pay/{id}", pay_checkout),
    ("POST", "/_config/strangers/{count}", make_strangers),
    ("GET", "/_config/requests", count_requests),
):
    app.router.add_route(method, path, answer)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a Stripe on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8420)
    parser.add_argument("--webhook", help="where events are sent")
    parser.add_argument("--secret", help="what they are signed with")
    options = parser.parse_args()
    if options.webhook:
        W.register_webhook("main", options.webhook, options.secret, None)
    web.run_app(app, host="127.0.0.1", port=options.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
