"""How long from a charge to its webhook, alone and beside endpoints in trouble.

`python -m tests.service.events_latency --events 300` runs a service of its own and prints a JSON
line a case. A charge that crosses the line is sent every 50 milliseconds; the time is from
sending it until a good endpoint has read the whole webhook, on the same machine's clock.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from tests.service.receiver import Receiver, as_setting
from tests.service.requests import add_credits, charge
from tests.service.running import RunningService, wait_until

LOW = "subscription.low_credits"
PACE_SECONDS = 0.05
CASES = {"alone": ("ok", "ok", "ok"), "beside three in trouble": ("hang", "500", "close")}


def measure(http: httpx.Client, good: Receiver, case: str, events: int) -> dict[str, object]:
    users = [f"{case.replace(' ', '-')}-{number}" for number in range(events)]
    for user in users:
        add_credits(http, user).raise_for_status()
    wait_until(lambda: bool(good.events_of(users[-1])), 60)
    sent = {}
    for user in users:
        sent[user] = time.time()  # noqa: TID251 - compared with the receiver's
        charge(http, user, 80).raise_for_status()
        time.sleep(PACE_SECONDS)
    wait_until(lambda: all(good.events_of(user, LOW) for user in users[-20:]), 60)
    arrived = {r.event["user_id"]: r.at for r in good.received if r.event["type"] == LOW}
    seconds = sorted(arrived[user] - sent[user] for user in users)
    return {
        "case": case,
        "events": events,
        "p50_ms": round(statistics.median(seconds) * 1000),
        "p99_ms": round(seconds[int(len(seconds) * 0.99)] * 1000),
        "max_ms": round(seconds[-1] * 1000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Receiver() as good,
        Receiver() as first,
        Receiver() as second,
        Receiver() as third,
    ):
        others = {"first": first, "second": second, "third": third}
        endpoints = [good.config("good"), *(r.config(name) for name, r in others.items())]
        settings = {"ALLOTMENT_SHARDS": "2", "ALLOTMENT_WEBHOOKS": as_setting(*endpoints)}
        with (
            RunningService(Path(folder), ALLOTMENT_LOG_EVENTS="0", **settings) as service,
            service.client() as http,
        ):
            for case, manners in CASES.items():
                for receiver, manner in zip(others.values(), manners, strict=True):
                    receiver.manner = manner
                print(json.dumps(measure(http, good, case, options.events)), flush=True)


if __name__ == "__main__":
    main()
