"""Every operation of the service has a method in both clients over HTTP, or is left out for a reason."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from allotment_client import Allotment, AllotmentError
from tests.clients.typescript import CLIENT, document

NOON = datetime(2027, 1, 1, tzinfo=UTC)
PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}
RECORD = {"user_id": "id", "service_type": "chat", "credit_amount": 1}
LEFT_OUT = {
    "GET /healthz": "probes ask it: a client that is answered by anything knows that it lives",
    "POST /stripe/webhook": "Stripe calls it, with a signature of its own",
}
LEFT_OUT_IN_PYTHON = {
    "GET /readyz": "probes ask it, and `ServiceAwayError` tells programs the same"
}
OPERATIONS: dict[str, Callable[[Allotment], Any]] = {
    "GET /subscription/status": lambda a: a.check_daily_allocation("id"),
    "POST /subscription/usage": lambda a: a.record_usage("id", "chat", 1),
    "GET /subscription/usage": lambda a: a.get_usage("id", NOON, NOON),
    "GET /subscription/usage/monthly": lambda a: a.get_monthly_usage("id", "2026-03"),
    "GET /subscription/usage/recent": lambda a: a.get_recent_usage("id", 7),
    "POST /subscription/usage/batch": lambda a: a.record_usages([RECORD]),
    "POST /subscription/usage/{}/reversals": lambda a: a.reverse("ada", "id", "why"),
    "POST /subscription/credits": lambda a: a.add_credit("id", 1, 1, PAYMENT),
    "POST /subscription/adjustments": lambda a: a.adjust("id", "why", credit_amount=1),
    "POST /subscription/holds": lambda a: a.hold("id", "chat", 1),
    "GET /subscription/holds": lambda a: a.get_holds("id"),
    "POST /subscription/holds/{}/settle": lambda a: a.settle("id", 1),
    "DELETE /subscription/holds/{}": lambda a: a.release("id"),
    "GET /subscriptions": lambda a: a.list_subscriptions(),
    "GET /subscriptions/{}": lambda a: a.get_subscriptions("id"),
    "PATCH /subscriptions/{}": lambda a: a.change_subscription("id", status="paused"),
    "GET /subscriptions/{}/history": lambda a: a.get_history("id"),
    "DELETE /users/{}": lambda a: a.anonymize("id"),
    "GET /admin/anonymizations": lambda a: a.get_anonymizations(),
    "GET /events": lambda a: next(a.events()),
    "POST /events/token": lambda a: a.make_stream_token("id"),
    "GET /admin/events": lambda a: a.get_events_report(),
    "POST /admin/events/{}/redeliver": lambda a: a.redeliver("id"),
    "POST /admin/keys": lambda a: a.create_key("web", "read"),
    "GET /admin/keys": lambda a: a.list_keys(),
    "POST /admin/keys/{}/rotate": lambda a: a.rotate_key("id"),
    "DELETE /admin/keys/{}": lambda a: a.revoke_key("id"),
    "GET /admin/audit": lambda a: a.get_audit(),
    "POST /admin/endpoints": lambda a: a.create_endpoint("https://crm.example/"),
    "GET /admin/endpoints": lambda a: a.list_endpoints(),
    "PATCH /admin/endpoints/{}": lambda a: a.change_endpoint("id", enabled=False),
    "POST /admin/endpoints/{}/rotate": lambda a: a.rotate_endpoint("id"),
    "POST /admin/endpoints/{}/test": lambda a: a.test_endpoint("id"),
    "DELETE /admin/endpoints/{}": lambda a: a.remove_endpoint("id"),
    "GET /admin/settings": lambda a: a.get_settings(),
    "PATCH /admin/settings": lambda a: a.change_settings(cors_origins=[]),
    "GET /admin/users": lambda a: a.list_users(),
    "GET /admin/refusals": lambda a: a.list_refusals(),
    "GET /admin/prices": lambda a: a.get_prices(),
    "POST /admin/sync": lambda a: a.sync(),
    "GET /admin/sync": lambda a: a.get_sync(),
    "POST /admin/validate": lambda a: a.validate(),
    "GET /admin/sweeps": lambda a: a.get_sweeps(),
    "GET /admin/shards": lambda a: a.get_shards(),
    "POST /admin/reshard": lambda a: a.reshard(2),
    "GET /admin/reshard": lambda a: a.get_resharding(),
    "POST /admin/stripe/reconcile": lambda a: a.reconcile_stripe(),
    "GET /admin/stripe/reconcile": lambda a: a.get_stripe_reconciliation(),
    "PUT /admin/test-clock": lambda a: a.set_test_clock(NOON),
}


def operations() -> Iterator[str]:
    """Yield the operations of the service's document."""
    for path, item in document()["paths"].items():
        for method in item:
            yield f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}"


def test_every_operation_has_a_method_in_python_or_is_left_out() -> None:
    assert set(operations()) - LEFT_OUT.keys() - LEFT_OUT_IN_PYTHON.keys() == OPERATIONS.keys()


def test_every_operation_has_a_method_in_typescript_or_is_left_out() -> None:
    """The client's own tests have each method of the table send its operation."""
    text = (CLIENT / "test" / "unit" / "operations.test.ts").read_text()
    table = set(re.findall(r'^  "([A-Z]+ /\S+)": \(a\)', text, re.MULTILINE))

    assert set(operations()) - LEFT_OUT.keys() == table


def test_what_is_left_out_is_there() -> None:
    assert LEFT_OUT.keys() | LEFT_OUT_IN_PYTHON.keys() <= set(operations())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_method_sends_its_operation(operation: str) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = re.sub(r"/id(?=/|$)", "/{}", request.url.path)
        asked.append(f"{request.method} {path}")
        problem = {"code": "invalid_request", "title": "no", "detail": "no", "status": 422}
        return httpx.Response(422, json=problem)

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://allotment")
    with pytest.raises(AllotmentError):
        OPERATIONS[operation](Allotment(http))

    assert asked[0] == operation
