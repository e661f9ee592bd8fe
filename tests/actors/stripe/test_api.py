"""What the adapter asks Stripe, over real sockets, and what it makes of each answer."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from actors.stripe.api import StripeAwayError, StripeClientApi, StripeError, StripeRefusedError
from actors.stripe.payloads import APPLICABLE

KEY = "sk_test_never_told"
ITEMS = [{"id": f"si_{n:02}", "object": "subscription_item"} for n in range(25)]


class StripeServer:
    """Answers each path with (status, body); a list is paged as Stripe does."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body = server.answer(self.path)
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, path: str) -> tuple[int, Any]:
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        self.asked.append((parts.path, query))
        status, body = self.answers.get(parts.path, (404, error("resource_missing")))
        if isinstance(body, list):
            after = query.get("starting_after", [""])[0]
            rest = [item for item in body if item["id"] > after]
            data, more = rest[:10], len(rest) > 10
            body = {"object": "list", "url": parts.path, "data": data, "has_more": more}
        return status, body

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def error(code: str, message: str = "no") -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", "code": code, "message": message}}


@pytest.fixture
def server() -> Iterator[StripeServer]:
    server = StripeServer()
    yield server
    server.close()


def api_of(server: StripeServer) -> StripeClientApi:
    return StripeClientApi(KEY, server.base)


def test_all_items_of_a_subscription_are_read(server: StripeServer) -> None:
    first = {"object": "list", "data": ITEMS[:10], "has_more": True}
    server.answers["/v1/subscriptions/sub_1"] = (
        200,
        {"id": "sub_1", "object": "subscription", "items": first},
    )
    server.answers["/v1/subscription_items"] = (200, ITEMS)

    found = api_of(server).subscription("sub_1")

    assert found is not None
    assert [item["id"] for item in found["items"]["data"]] == [item["id"] for item in ITEMS]


def test_all_lines_of_an_invoice_are_read(server: StripeServer) -> None:
    lines = [{"id": f"il_{n:02}", "object": "line_item"} for n in range(12)]
    first = {"object": "list", "data": lines[:10], "has_more": True}
    invoice = {"id": "in_1", "object": "invoice", "lines": first}
    server.answers["/v1/invoices/in_1"] = (200, invoice)
    server.answers["/v1/invoices/in_1/lines"] = (200, lines)

    found = api_of(server).invoice("in_1")

    assert found is not None
    assert [line["id"] for line in found["lines"]["data"]] == [line["id"] for line in lines]


def test_subscriptions_of_all_statuses_and_events_that_can_be_applied_are_listed(
    server: StripeServer,
) -> None:
    server.answers["/v1/subscriptions"] = (200, [{"id": "sub_1", "object": "subscription"}])
    server.answers["/v1/events"] = (200, [])
    api = api_of(server)

    subscriptions, more = api.page("subscriptions", None, None)
    api.page("events", "evt_0", 1_700_000_000)

    assert ([one["id"] for one in subscriptions], more) == (["sub_1"], False)
    (_, first), (_, second) = server.asked
    assert first["status"] == ["all"]
    assert second["starting_after"] == ["evt_0"]
    assert second["created[gte]"] == ["1700000000"]
    assert {"invoice.paid", "charge.refunded"} <= {v for vs in second.values() for v in vs}


def test_all_disputes_of_a_charge_are_read(server: StripeServer) -> None:
    disputes = [{"id": f"dp_{n:02}", "object": "dispute", "charge": "ch_1"} for n in range(12)]
    server.answers["/v1/disputes"] = (200, disputes)

    found = api_of(server).disputes("ch_1")

    assert [one["id"] for one in found] == [one["id"] for one in disputes]
    assert {query["charge"][0] for _, query in server.asked} == {"ch_1"}


def test_refunds_and_disputes_are_read(server: StripeServer) -> None:
    server.answers["/v1/refunds/re_1"] = (200, {"id": "re_1", "object": "refund"})
    server.answers["/v1/disputes/dp_1"] = (200, {"id": "dp_1", "object": "dispute"})
    api = api_of(server)

    assert (api.refund("re_1"), api.dispute("dp_1")) == (
        {"id": "re_1", "object": "refund"},
        {"id": "dp_1", "object": "dispute"},
    )


def test_no_more_types_of_events_are_asked_for_than_stripe_lists_at_once() -> None:
    assert len(APPLICABLE) <= 20


def test_what_stripe_does_not_have_is_none(server: StripeServer) -> None:
    api = api_of(server)

    assert api.subscription("sub_gone") is None
    assert api.customer("cus_gone") is None
    assert api.price("price_gone") is None


ASK: dict[str, Callable[[StripeClientApi], object]] = {
    "one": lambda api: api.subscription("sub_1"),
    "a list": lambda api: api.checkout_lines("cs_1"),
}


@pytest.mark.parametrize("what", ASK)
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (429, StripeAwayError),
        (500, StripeAwayError),
        (503, StripeAwayError),
        (409, StripeAwayError),
        (400, StripeRefusedError),
        (401, StripeRefusedError),
        (403, StripeRefusedError),
    ],
)
def test_answers_say_whether_a_repeat_may_help_and_carry_no_secret(
    server: StripeServer, what: str, status: int, expected: type[StripeError]
) -> None:
    body = error("odd", f"Invalid API Key provided: {KEY}")
    server.answers["/v1/subscriptions/sub_1"] = (status, body)
    server.answers["/v1/checkout/sessions/cs_1/line_items"] = (status, body)

    with pytest.raises(expected) as failure:
        ASK[what](api_of(server))

    assert type(failure.value) is expected
    assert KEY not in str(failure.value)
    assert len(server.asked) == 1  # Repeating is not the SDK's.


def test_where_nobody_listens_a_repeat_may_help() -> None:
    server = StripeServer()
    server.close()

    with pytest.raises(StripeAwayError):
        api_of(server).subscription("sub_1")
