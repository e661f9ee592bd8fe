"""A Stripe account full of another product's subscriptions, and customers of ours who pay amid it.

`python -m tests.service.stripe_strangers --help` runs it against a service and a local Stripe of
its own: a comparison finds all of them, customers subscribe while they are looked at, and then the
clock is set forward until nothing waits any more. The short version is part of the suite.
"""

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from actors.stripe.lookups import RECONCILING_REQUESTS_PER_SECOND, REQUESTS_PER_SECOND
from actors.stripe.parking import UNPAID_WAITS
from tests.service.running import RunningService, wait_until
from tests.service.stripe_clients import SECRET, LocalStripe, port_and_settings

CREDITS_SECONDS_MAX = 2.0  # From Stripe's event to the credits, whatever else Stripe has.
TELLING_SECONDS = 1.0  # The local Stripe waits so long before it sends an event.
REQUESTS_PER_SECOND_MAX = REQUESTS_PER_SECOND + RECONCILING_REQUESTS_PER_SECOND
SETTLE_SECONDS_MAX = 1800.0
WAITS = 5  # In how many steps the clock is set past the time that events wait for their user.


class Account:
    """The local Stripe's account, and the service that is told of it."""

    def __init__(self, events: Any, local: LocalStripe, http: httpx.Client) -> None:
        self.local, self._events, self._http = local, events, http
        self._ahead = timedelta(0)

    def waiting(self) -> dict[str, int]:
        answer = self._http.get("/admin/events").raise_for_status().json()
        return dict(answer["stripe_waiting"])

    def requests(self) -> dict[str, int]:
        address = f"{self.local.address}/_config/requests"
        return dict(httpx.get(address, timeout=60).raise_for_status().json())

    def strangers(self, count: int) -> None:
        address = f"{self.local.address}/_config/strangers/{count}"
        httpx.post(address, timeout=600).raise_for_status()

    def seconds_to_credits(self, user: str, price: str) -> float:
        """Return how long a customer's credits take, from when Stripe tells."""
        customer = self.local.customer(user)
        began = time.monotonic()
        self.local.subscribe(customer, price)
        wait_until(lambda: self._credits(user) == 3000, SETTLE_SECONDS_MAX)
        return time.monotonic() - began - TELLING_SECONDS

    def _credits(self, user: str) -> int:
        answer = self._http.get("/subscription/status", params={"user_id": user})
        return int(answer.raise_for_status().json()["total_credits"])

    def reconcile(self) -> dict[str, Any]:
        """Compare everything. A local Stripe that is too slow fails a run: the next goes on there."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while True:
            answer = self._http.post("/admin/stripe/reconcile", timeout=SETTLE_SECONDS_MAX)
            if answer.status_code != 503 or time.monotonic() > deadline:
                return dict(answer.raise_for_status().json())

    def set_forward(self, by: timedelta) -> None:
        self._ahead += by
        now = (datetime.now(UTC) + self._ahead).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._http.put("/admin/test-clock", json={"now": now}).raise_for_status()

    def is_at_rest(self) -> bool:
        """Say whether everything that is due has been tried."""
        due = {"$lte": datetime.now(UTC) + self._ahead}
        where = {"state": "received", "next_attempt_at": due}
        return int(self._events.count_documents(where)) == 0


def run(directory: Path, strangers: int, payers: int) -> list[str]:
    """Print what was measured, and return what is not as it must be."""
    port, settings = port_and_settings()
    with (
        RunningService(directory, ALLOTMENT_TEST_CLOCK="1", **settings) as service,
        LocalStripe(port) as local,
        service.client() as http,
        service.mongo() as mongo,
    ):
        account = Account(mongo.allotment.allotment_stripe_events, local, http)
        account.strangers(strangers)
        local.config("webhooks/main", url=f"{service.address}/stripe/webhook", secret=SECRET)
        return [*pay_amid(account, payers), *wait_in_vain(account, strangers)]


def pay_amid(account: Account, payers: int) -> list[str]:
    """Let customers subscribe while all that is another product's is looked at."""
    price, found = account.local.price(3000), account.reconcile()
    seconds, amid = list[float](), 0
    for number in range(payers):
        amid += account.waiting()["found"] > 0
        seconds.append(account.seconds_to_credits(f"payer-{number}", price))
    wait_until(lambda: account.waiting()["found"] == 0, SETTLE_SECONDS_MAX)
    asked = account.requests()
    print(f"credits came after {', '.join(f'{s:.1f}' for s in seconds)} s, {amid} of them amid it")
    print(
        f"{found['differed']} differed; {asked['total']} requests, {asked['busiest']} in a second"
    )
    problems = []
    if max(seconds) > CREDITS_SECONDS_MAX:
        problems.append(f"credits took {max(seconds):.1f} s")
    if amid == 0:
        problems.append("nothing was found while customers paid")
    # Two seconds' worth may fall into one, and the customers of ours ask for themselves.
    if asked["busiest"] > 2 * REQUESTS_PER_SECOND_MAX:
        problems.append(f"{asked['busiest']} requests in one second")
    return problems


def wait_in_vain(account: Account, strangers: int) -> list[str]:
    """Let time pass until nobody waits for users who never come."""
    before, parked = account.requests()["total"], [account.waiting()["parked"]]
    for _ in range(WAITS):
        account.set_forward(UNPAID_WAITS / (WAITS - 2))
        wait_until(account.is_at_rest, SETTLE_SECONDS_MAX)
        parked.append(account.waiting()["parked"])
    asked = account.requests()["total"] - before
    print(f"parked: {' → '.join(map(str, parked))}; {asked} requests meanwhile")
    problems = []
    if parked[0] < strangers or parked[-1] != 0:
        problems.append("not everything waited, or something still does")
    if asked > strangers // 10 + 10:
        problems.append(f"{asked} requests for what gives no credits")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strangers", type=int, default=2000)
    parser.add_argument("--payers", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        problems = run(Path(directory), options.strangers, options.payers)
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
