"""Requests that tests of the whole service make."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.patience import SERVICE_SECONDS
from tests.service.running import wait_until

PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}


def add_credits(http: httpx.Client, user: str, **changes: Any) -> httpx.Response:
    body = {"user_id": user, "amount": 3000, "days": 30, "payment": PAYMENT} | changes
    return http.post("/subscription/credits", json=body)


def charge(http: httpx.Client, user: str, amount: int, key: str | None = None) -> httpx.Response:
    body = {"user_id": user, "service_type": "chat", "credit_amount": amount}
    headers = {} if key is None else {"Idempotency-Key": key}
    return http.post("/subscription/usage", json=body, headers=headers)


def status(http: httpx.Client, user: str) -> dict[str, Any]:
    answer = http.get("/subscription/status", params={"user_id": user})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@contextlib.contextmanager
def share_with(http: httpx.Client, origin: str) -> Iterator[None]:
    """Let pages of an origin call, as long as the block; it begins once the replicas know."""
    _set_origins(http, origin)
    asks = {"Origin": origin}
    wait_until(
        lambda: "access-control-allow-origin" in http.get("/healthz", headers=asks).headers,
        SERVICE_SECONDS,
    )
    try:
        yield
    finally:
        _set_origins(http)


def _set_origins(http: httpx.Client, *origins: str) -> None:
    http.patch("/admin/settings", json={"cors_origins": origins}).raise_for_status()
