"""Charges by tokens on the running service, while the price list changes and is spoilt."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.patience import PATIENCE_SECONDS
from tests.service.running import PRICES, RunningService, prices_in, wait_until

pytestmark = pytest.mark.service

PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}
BY_TOKENS = {"service_type": "chat", "model_used": "small-1", "token_count": 9000}
IN_FORCE_SECONDS_MAX = PATIENCE_SECONDS


@pytest.fixture
def prices(service: RunningService) -> Iterator[Path]:
    """Yield the file of the price list; afterwards it is as before."""
    path = prices_in(service.data_dir.parent)
    yield path
    path.write_text(PRICES)


def charge(http: httpx.Client, user_id: str, **more: Any) -> httpx.Response:
    headers = {"Idempotency-Key": more.pop("key")} if "key" in more else {}
    body = {"user_id": user_id} | BY_TOKENS | more
    return http.post("/subscription/usage", json=body, headers=headers)


def test_a_price_changes_without_a_restart_and_no_repeat_is_charged_by_it(
    http: httpx.Client, service: RunningService, prices: Path
) -> None:
    credits_ = {"user_id": "ludmila", "amount": 30_000_000, "days": 30, "payment": PAYMENT}
    http.post("/subscription/credits", json=credits_)
    first = charge(http, "ludmila", key="first")
    held = http.post("/subscription/holds", json={"user_id": "ludmila", "credit_amount": 10}).json()
    settle = f"/subscription/holds/{held['hold_id']}/settle"
    unpriced = http.post(settle, json={"token_count": 9000, "model_used": "small-1"})
    unknown = charge(http, "ludmila", model_used="large-1")

    prices.write_text(PRICES.replace("0.25", "2"))
    wait_until(lambda: charge(http, "ludmila").json()["credit_amount"] == 18, IN_FORCE_SECONDS_MAX)
    again = charge(http, "ludmila", key="first")
    told = charge(http, "ludmila", credit_amount=1)

    assert (first.status_code, first.json()["credit_amount"]) == (201, 3)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert told.json()["credit_amount"] == 1
    for refused in (unpriced, unknown):  # The hold is of the service `hold`.
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        assert "no price" in refused.json()["detail"]
    span = {"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", "limit": "2"}
    page = http.get("/subscription/usage", params={"user_id": "ludmila"} | span).json()
    rates = [item["price"] and item["price"]["credits_per_unit"] for item in page["items"]]
    assert rates == [None, "2"]


def test_a_spoilt_list_changes_nothing_also_not_for_a_shard_that_starts_again(
    http: httpx.Client, service: RunningService, prices: Path
) -> None:
    credits_ = {"user_id": "ljuba", "amount": 30_000_000, "days": 30, "payment": PAYMENT}
    http.post("/subscription/credits", json=credits_)
    wait_until(lambda: charge(http, "ljuba").json()["credit_amount"] == 3, IN_FORCE_SECONDS_MAX)

    prices.write_text("[[prices]")
    wait_until(
        lambda: any("stays in force" in line for line in service.output), IN_FORCE_SECONDS_MAX
    )
    for shard in http.get("/admin/shards").json():
        os.kill(shard["pid"], signal.SIGKILL)
    charged = charge(http, "ljuba", key="over a restart")

    assert charged.status_code in (201, 503)
    wait_until(lambda: charge(http, "ljuba", key="over a restart").status_code == 201, 30.0)
    assert charge(http, "ljuba", key="over a restart").json()["credit_amount"] == 3
