"""A storm of Stripe's events, with everything failing, and the books that must agree afterwards.

`python -m tests.service.stripe_burst --help` runs it against a service and a local Stripe of its
own: events shuffled, each delivered one to three times over many connections, the Stripe actor
killed, Stripe's interface slow, refusing and silent. The short version is part of the suite.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import httpx
import stripe

from actors.stripe.shapes import read_subscription
from domain.stripe import StripeLink
from tests.service.running import RunningService, wait_until
from tests.service.stripe_clients import SECRET, LocalStripe, port_and_settings

CONNECTIONS = 32
KINDS = (
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "invoice.paid",
    "invoice.payment_succeeded",
)
SETTLE_SECONDS_MAX = 300.0
CREDITS = 3000
PAUSE_SECONDS = 0.1  # After a delivery that was not taken.


@dataclass
class Storm:
    """What was sent, how fast it was answered, and what it has come to."""

    ids: set[str] = field(default_factory=set)
    """The events that were sent."""
    deliveries: int = 0
    refused: int = 0
    kills: int = 0
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def events(self) -> int:
        return len(self.ids)

    def sends(self, bodies: Sequence[str], deliveries: int) -> None:
        """Note what is to be sent, and how often in all."""
        self.ids = {json.loads(body)["id"] for body in bodies}
        self.deliveries = deliveries

    def p99_ms(self) -> float:
        ordered = sorted(self.seconds)
        return 1000 * ordered[int(len(ordered) * 0.99)] if ordered else 0.0


def live(local: LocalStripe, count: int, random: Random) -> list[str]:
    """Let users subscribe, change, renew and leave; return their subscriptions."""
    price, found = local.price(CREDITS), []
    for number in range(count):
        name = local.subscribe(local.customer(f"user-{number}"), price, random.randint(1, 3))
        subscriptions = local.client.subscriptions
        for _ in range(random.randint(2, 4)):
            subscriptions.update(name, {"cancel_at_period_end": random.random() < 0.5})
        local.config(f"renew/{name}")
        subscriptions.update(name, {"metadata": {"plan": str(number)}})
        if random.random() < 0.3:
            subscriptions.cancel(name)
        found.append(name)
    return found


def told(local: LocalStripe) -> list[str]:
    """Return all events that Stripe has of them, as the texts it would send."""
    listed = local.client.events.list({"limit": 100}).auto_paging_iter()
    events = [event.to_dict(for_json=True) for event in listed]
    return [json.dumps(event) for event in events if event["type"] in KINDS]


async def deliver(service: RunningService, bodies: list[str], storm: Storm) -> None:
    """Send every body until it is taken, over many connections."""
    waiting = list(bodies)
    limits = httpx.Limits(max_connections=CONNECTIONS)

    async def send(http: httpx.AsyncClient) -> None:
        loop = asyncio.get_running_loop()
        while waiting:
            body = waiting.pop()
            header = stripe.WebhookSignature.generate_signature_header(body, SECRET)
            began = loop.time()
            headers = {"Stripe-Signature": header}
            try:
                answer = await http.post("/stripe/webhook", content=body, headers=headers)
                storm.seconds.append(loop.time() - began)
                taken = answer.status_code == 200
            except httpx.TransportError:
                taken = False
            if not taken:
                storm.refused += 1
                waiting.insert(0, body)
                await asyncio.sleep(PAUSE_SECONDS)

    async with httpx.AsyncClient(base_url=service.address, limits=limits, timeout=60) as http:
        await asyncio.gather(*(send(http) for _ in range(CONNECTIONS)))


def actor_pids(service: RunningService) -> list[int]:
    """Return the processes of this service's Stripe actor."""
    ours = f"ALLOTMENT_DATA_DIR={service.data_dir}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_actor = (process / "cmdline").read_bytes().startswith(b"ray::StripeActor")
            if is_actor and ours in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


async def trouble(service: RunningService, local: LocalStripe, kills: int, storm: Storm) -> None:
    """Let Stripe answer 429, then 500, then not at all; kill the actor amid it."""
    for status in (429, 500, 0):
        await asyncio.to_thread(local.config, "faults", status=status, seconds=3)
        if storm.kills < kills:
            for pid in actor_pids(service):
                os.kill(pid, signal.SIGKILL)
                storm.kills += 1
        await asyncio.to_thread(wait_for_stripe, local)


def wait_for_stripe(local: LocalStripe) -> None:
    """Return once the faults are over: a request that hangs is answered then, too."""
    key = local.address + "/v1/balance"
    auth = ("sk_test_local", "")
    wait_until(lambda: httpx.get(key, auth=auth, timeout=30).status_code == 200, 60)


def run(
    directory: Path, *, subscriptions: int, kills: int, seed: int, report: Any = print
) -> Storm:
    """Run a storm, and return what it came to."""
    random, storm = Random(seed), Storm()
    port, settings = port_and_settings()
    with (
        RunningService(directory, ALLOTMENT_SHARDS="2", **settings) as service,
        LocalStripe(port) as local,
    ):
        names = live(local, subscriptions, random)
        bodies = told(local)
        sent = [body for body in bodies for _ in range(random.randint(1, 3))]
        random.shuffle(sent)
        storm.sends(bodies, len(sent))
        report(f"{storm.events} events of {len(names)} subscriptions, {len(sent)} deliveries")

        async def storm_on() -> None:
            await asyncio.gather(
                deliver(service, sent, storm), trouble(service, local, kills, storm)
            )

        asyncio.run(storm_on())
        check(service, local, names, storm)
    return storm


def check(service: RunningService, local: LocalStripe, names: list[str], storm: Storm) -> None:
    """Note whatever is not as Stripe says."""
    client = service.mongo()
    database = client.allotment
    waiting = {"state": {"$ne": "applied"}}
    wait_until(
        lambda: database.allotment_stripe_events.count_documents(waiting) == 0, SETTLE_SECONDS_MAX
    )
    # The comparison with Stripe, at a quarter past, keeps what it finds under ids of its own.
    if (
        database.allotment_stripe_events.count_documents({"_id": {"$in": sorted(storm.ids)}})
        != storm.events
    ):
        storm.problems.append("an event that was sent is not kept")
    invoices = Counter[str]()
    for one in local.client.invoices.list({"status": "paid", "limit": 100}).auto_paging_iter():
        invoices[one.id] += 1
    with service.client() as http:
        granted = Counter[str]()
        for number, name in enumerate(names):
            check_one(http, local, f"user-{number}", name, granted, storm)
    if granted != invoices:
        storm.problems.append(
            f"invoices and grants differ: {granted - invoices or invoices - granted}"
        )
    client.close()


def check_one(
    http: httpx.Client,
    local: LocalStripe,
    user: str,
    name: str,
    granted: Counter[str],
    storm: Storm,
) -> None:
    """Compare one user, in MongoDB and in RAM, with Stripe."""
    theirs = local.client.subscriptions.retrieve(name).to_dict(for_json=True)
    (shown,) = http.get(f"/subscriptions/{user}").raise_for_status().json()["subscriptions"]
    status = http.get("/subscription/status", params={"user_id": user}).raise_for_status().json()
    ours, state = shown["stripe"], read_subscription(theirs).state()
    if facts(ours) != stated(state):
        storm.problems.append(f"{name}: {facts(ours)} is not {stated(state)}")
    if status["total_credits"] != shown["total_credits"]:
        storm.problems.append(f"{name}: RAM and MongoDB differ")
    expected = "cancelled" if theirs["status"] == "canceled" else "active"
    if (status["status"], shown["status"]) != (expected, expected):
        storm.problems.append(f"{name}: {status['status']} is not {expected}")
    granted.update(grant["transaction_id"] for grant in shown["grants"])


def facts(block: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a `stripe` block says."""
    items = [(item["price_id"], item["quantity"]) for item in block["items"]]
    moments = [block[field] and block[field][:19] for field in ("period_end", "cancel_at")]
    return (block["subscription_id"], block["status"], items, *moments)


def stated(state: StripeLink) -> tuple[Any, ...]:
    """Return the same of what Stripe says."""
    known = replace(state, version=0)
    items = [(item.price_id, item.quantity) for item in known.items]
    moments = [moment and moment.isoformat()[:19] for moment in (known.period_end, known.cancel_at)]
    return (known.subscription_id, known.status, items, *moments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=200)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        storm = run(
            Path(directory),
            subscriptions=options.subscriptions,
            kills=options.kills,
            seed=options.seed,
        )
    print(
        f"{storm.kills} kills, {storm.refused} answers but 200, p99 of the answer"
        f" {storm.p99_ms():.0f} ms"
    )
    for problem in storm.problems:
        print(problem)
    sys.exit(1 if storm.problems else 0)


if __name__ == "__main__":
    main()
