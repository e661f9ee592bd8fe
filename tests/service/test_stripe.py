"""Stripe as an application uses it: the official SDK, a local Stripe, and the running service."""

import re
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.processes import free_port
from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService, wait_until
from tests.service.stripe_clients import SECRET, LocalStripe, port_and_settings

SECONDS_MAX = 3.0  # From Stripe's event to the status, as promised; it waits one second itself.
PATIENCE_SECONDS_MAX = PATIENCE_SECONDS  # Where no time is promised.

ROOT = Path(__file__).parents[2]
SCRIPT = "tests/local_stripe.py"

pytestmark = pytest.mark.service


class World:
    def __init__(self, service: RunningService, stripe: LocalStripe, http: httpx.Client) -> None:
        self.service, self.stripe, self.http = service, stripe, http

    def status(self, user_id: str) -> dict[str, Any]:
        answer = self.http.get("/subscription/status", params={"user_id": user_id})
        return dict(answer.raise_for_status().json())

    def subscriptions(self, user_id: str) -> list[dict[str, Any]]:
        answer = self.http.get(f"/subscriptions/{user_id}")
        return list(answer.raise_for_status().json()["subscriptions"])

    def until(self, user_id: str, seconds: float = PATIENCE_SECONDS_MAX, **expected: Any) -> None:
        wait_until(lambda: expected.items() <= self.status(user_id).items(), seconds)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("stripe")
    port, settings = port_and_settings()
    with (
        RunningService(directory, ALLOTMENT_SHARDS="2", **settings) as service,
        LocalStripe(port, f"{service.address}/stripe/webhook") as stripe,
        service.client() as http,
    ):
        yield World(service, stripe, http)


def test_a_subscription_is_an_allocation_within_three_seconds(world: World) -> None:
    price, customer = world.stripe.price(3000), world.stripe.customer("ada")

    subscription_id = world.stripe.subscribe(customer, price)

    world.until("ada", SECONDS_MAX, status="active", total_credits=3000, spendable_credits=2700)
    assert world.status("ada")["daily_credit_limit"] in (2700 // 31, 2700 // 30, 2700 // 28)
    (shown,) = world.subscriptions("ada")
    assert shown["stripe"]["subscription_id"] == subscription_id
    assert shown["stripe"]["customer_id"] == customer


def test_quantity_cancellation_and_end_arrive(world: World) -> None:
    price, customer = world.stripe.price(3000), world.stripe.customer("grace")
    subscription_id = world.stripe.subscribe(customer, price)
    world.until("grace", total_credits=3000)
    subscriptions = world.stripe.client.subscriptions
    item = subscriptions.retrieve(subscription_id)["items"].data[0]

    subscriptions.update(subscription_id, {"items": [{"id": item.id, "quantity": 2}]})
    wait_until(lambda: quantity_of(world, "grace") == 2, PATIENCE_SECONDS_MAX)
    assert world.status("grace")["total_credits"] == 3000

    subscriptions.update(subscription_id, {"cancel_at_period_end": True})
    wait_until(lambda: link_of(world, "grace")["cancel_at"] is not None, PATIENCE_SECONDS_MAX)
    assert world.status("grace")["status"] == "active"

    before = world.status("grace")
    subscriptions.cancel(subscription_id)
    world.until("grace", status="cancelled")
    (shown,) = world.subscriptions("grace")
    assert shown["spendable_credits"] == before["daily_credit_limit"]
    assert shown["total_credits"] == 300 + before["daily_credit_limit"]
    assert shown["end_date"] == before["resets_at"]


def test_the_next_period_is_another_grant(world: World) -> None:
    customer = world.stripe.customer("joan")
    subscription_id = world.stripe.subscribe(customer, world.stripe.price(1000), 2)
    world.until("joan", total_credits=2000)

    world.stripe.config(f"renew/{subscription_id}")

    world.until("joan", total_credits=4000)
    (shown,) = world.subscriptions("joan")
    assert [grant["amount"] for grant in shown["grants"]] == [2000, 2000]


def test_what_is_sold_over_days_loses_what_its_refund_and_a_lost_dispute_take(
    world: World,
) -> None:
    charge = world.stripe.check_out("hedy", world.stripe.price(1000, 10), 3)
    world.until("hedy", total_credits=3000, spendable_credits=2700)

    world.stripe.client.refunds.create({"charge": charge, "amount": 3 * 2900 // 2})
    world.until("hedy", spendable_credits=270 + (2700 - 270) // 2)

    world.stripe.config(f"dispute/{charge}/lost")
    world.until("hedy", spendable_credits=270)
    world.stripe.config(f"dispute/{charge}/won")
    world.until("hedy", spendable_credits=270 + (2700 - 270) // 2)


def test_a_pack_loses_what_its_refund_and_a_lost_dispute_take_and_nothing_that_is_used(
    world: World,
) -> None:
    price = world.stripe.price_of_one(credits=1000, expires_days=30, priority=10)
    charge = world.stripe.check_out("rosa", price, 3)
    world.until("rosa", status="none", pack_credits=2700)
    use = {"user_id": "rosa", "service_type": "chat", "credit_amount": 600}
    world.http.post("/subscription/usage", json=use).raise_for_status()

    world.stripe.client.refunds.create({"charge": charge, "amount": 3 * 2900 // 2})
    world.until("rosa", pack_credits=2100 - 1350)
    world.stripe.config(f"dispute/{charge}/lost")
    world.until("rosa", pack_credits=0)
    world.stripe.config(f"dispute/{charge}/won")
    world.until("rosa", pack_credits=2100 - 1350)

    (pack,) = world.http.get("/subscriptions/rosa").raise_for_status().json()["packs"]
    created, expires = (
        datetime.fromisoformat(pack[f"{when}_at"]) for when in ("created", "expires")
    )
    assert timedelta(days=29, hours=23) < expires - created <= timedelta(days=30)
    assert (pack["priority"], pack["credits_used"], pack["taken_back_credits"]) == (10, 600, 1350)


def test_parked_events_are_applied_when_their_user_becomes_known(world: World) -> None:
    customer = world.stripe.customer(None)
    world.stripe.subscribe(customer, world.stripe.price(500))
    wait_until(lambda: any(parked(world)), PATIENCE_SECONDS_MAX)

    world.stripe.client.customers.update(customer, {"metadata": {"user_id": "mary"}})

    world.until("mary", total_credits=500)


def test_what_was_never_delivered_is_found_by_the_command(world: World) -> None:
    webhook = {"url": f"{world.service.address}/stripe/webhook", "secret": SECRET}
    nowhere = {"url": f"http://127.0.0.1:{free_port()}/", "secret": SECRET}
    world.stripe.config("webhooks/main", **nowhere)
    subscription_id = world.stripe.subscribe(world.stripe.customer("lise"), world.stripe.price(700))

    ran = world.service.command("stripe", "reconcile")
    world.stripe.config("webhooks/main", **webhook)

    assert ran.returncode == 0, ran.stderr
    assert f"{subscription_id}: unknown here, active" in ran.stdout
    world.until("lise", total_credits=700)


def test_where_stripe_does_not_answer_the_command_says_so(world: World) -> None:
    world.stripe.config("faults", status=500, seconds=30)

    ran = world.service.command("stripe", "reconcile")
    world.stripe.config("faults", status=200, seconds=0)

    assert ran.returncode == 1
    assert "503" in ran.stderr


def test_the_commands_of_the_page_make_an_allocation(world: World) -> None:
    """The first two start what runs here already; the others are run from their own text."""
    page = (ROOT / "docs" / "stripe.md").read_text()
    start, run, make = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    text = make.replace("http://127.0.0.1:8420", world.stripe.address).replace(
        "]=ada", "]=page-ada"
    )

    subprocess.run(["bash", "-euc", text], check=True, capture_output=True, timeout=60)

    world.until("page-ada", status="active", total_credits=3000)
    subscription_id = link_of(world, "page-ada")["subscription_id"]
    world.stripe.config(f"renew/{subscription_id}")
    world.until("page-ada", total_credits=6000)
    assert f".venv/bin/python {SCRIPT}" in start
    assert "make run" in run


def test_none_of_all_these_events_is_a_dead_letter(world: World) -> None:
    rows = world.http.get("/admin/events").raise_for_status().json()["stripe"]

    assert [row for row in rows if row["state"] == "failed"] == []


def parked(world: World) -> list[bool]:
    rows = world.http.get("/admin/events").raise_for_status().json()["stripe"]
    return [row["parked"] for row in rows]


def link_of(world: World, user_id: str) -> dict[str, Any]:
    (shown,) = world.subscriptions(user_id)
    return dict(shown["stripe"])


def quantity_of(world: World, user_id: str) -> int:
    return int(link_of(world, user_id)["items"][0]["quantity"])
