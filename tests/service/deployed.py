"""Deploys the service by `serve deploy serve.yaml`, and charges on each machine's own HTTP port.

`python -m tests.service.deployed` takes some two minutes: a cluster of its own with a head and a
worker (`machines.py`; root is needed), whose nodes have the settings in the environment of Ray, as
docs/cluster.md says. It exits with 1 unless every machine answers, and charges the same account.
"""

import functools
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.patience import PATIENCE_SECONDS
from tests.service.machines import ROOT, Machine, Machines
from tests.service.running import wait_until

PORT = 8000  # Of serve.yaml.
READY_SECONDS_MAX = PATIENCE_SECONDS
CREDITS_A_DAY = 90  # Of 3,000 credits for 30 days.
SETTINGS = {
    "ALLOTMENT_SHARDS": "2",
    "ALLOTMENT_HTTP_HOST": "0.0.0.0",
    "ALLOTMENT_HTTP_REPLICAS": "2",
}
BIN = "~/allotment-venv/bin"
DEPLOY = f'eval "$({BIN}/allotment environment)"; {BIN}/serve deploy {ROOT}/serve.yaml'
CREATE_KEY = f"{BIN}/allotment keys create --scope admin --name operator 2>/dev/null"


def address_of(machine: Machine) -> str:
    return f"http://{machine.address}:{PORT}"


def is_ready(machine: Machine) -> bool:
    """Whether the machine's own HTTP answers, and all that it needs."""
    try:
        return httpx.get(f"{address_of(machine)}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def charge(machine: Machine, key: str) -> tuple[int, int]:
    """Charge one credit by way of a machine; return the answer's code, and what remains."""
    body = {"user_id": "ada", "service_type": "chat", "credit_amount": 1}
    with httpx.Client(base_url=address_of(machine), headers=bearer(key), timeout=30) as client:
        answer = client.post("/subscription/usage", json=body)
        return answer.status_code, answer.json()["remaining_credits"]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def nodes_with_shards(machine: Machine, key: str) -> set[str]:
    rows = httpx.get(f"{address_of(machine)}/admin/shards", headers=bearer(key)).json()
    return {row["node_id"] for row in rows}


def main() -> int:
    """Deploy, wait until all machines answer, and charge on each."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Machines(Path(folder), 1, ROOT, with_dashboard=True, **SETTINGS) as machines,
    ):
        everybody = [machines.head, *machines.workers]
        began = time.monotonic()
        machines.head.run(DEPLOY, machines.environment)
        print(f"serve deploy returned after {time.monotonic() - began:.1f} s", flush=True)
        for machine in everybody:
            wait_until(functools.partial(is_ready, machine), READY_SECONDS_MAX)
            print(f"{machine.address} ready after {time.monotonic() - began:.1f} s", flush=True)
        key = machines.head.run(CREATE_KEY, machines.environment).strip()
        payment = {"method": "card", "transaction_id": "t", "amount": 1, "currency": "eur"}
        body = {"user_id": "ada", "amount": 3000, "days": 30, "payment": payment}
        given = httpx.post(
            f"{address_of(machines.head)}/subscription/credits", json=body, headers=bearer(key)
        )
        given.raise_for_status()
        charged = [charge(machine, key) for machine in everybody]
        nodes = nodes_with_shards(machines.head, key)
    for machine, (code, left) in zip(everybody, charged, strict=True):
        print(f"{machine.address} charged: {code}, {left} credits remain")
    print(f"shards are on {len(nodes)} nodes")
    wanted = [(201, CREDITS_A_DAY - number) for number in range(1, len(everybody) + 1)]
    return 0 if charged == wanted and len(nodes) == len(everybody) else 1


if __name__ == "__main__":
    sys.exit(main())
