"""What the board and the alert rules of `deploy/grafana/` ask for is in what the service exports."""

import contextlib
import json
import re
from pathlib import Path

import httpx
import pytest
import yaml

from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
NOT_YET = {
    # Sums are exported from their first increase on, and nothing goes wrong here,
    "ray_allotment_operation_failed_total",
    "ray_allotment_shard_overloaded_total",
    "ray_allotment_shard_journal_gaps_total",
    "ray_allotment_endpoint_failures_total",
    # and neither Stripe nor a price list is set up.
    "ray_allotment_stripe_fresh",
    "ray_allotment_stripe_parked",
    "ray_allotment_stripe_dead_letters",
    "ray_allotment_prices_invalid",
}
PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}


def asked_for() -> set[str]:
    texts = [(GRAFANA / name).read_text() for name in ("board.json", "alerts.yaml")]
    return set(re.findall(r"\bray_[a-z_]+", "".join(texts)))


def listed_ports(service: RunningService) -> list[str]:
    """Return the addresses that Prometheus finds where `prometheus.yaml` has it look."""
    config = yaml.safe_load((GRAFANA / "prometheus.yaml").read_text())
    (file,) = config["scrape_configs"][0]["file_sd_configs"][0]["files"]
    there = service.data_dir / Path(file).relative_to("/data")
    wait_until(there.exists, PATIENCE_SECONDS)
    found = json.loads(there.read_text())
    return [target for group in found for target in group["targets"]]


def exported(service: RunningService) -> set[str]:
    names: set[str] = set()
    for target in listed_ports(service):
        with contextlib.suppress(httpx.HTTPError):
            text = httpx.get(f"http://{target}/metrics", timeout=PATIENCE_SECONDS).text
            names |= set(re.findall(r"^(ray_allotment_\w+)", text, re.MULTILINE))
    return names


def test_every_metric_is_exported_by_a_service_that_works(rehearsal: RunningService) -> None:
    with rehearsal.client() as http:
        body = {"user_id": "metered", "amount": 3000, "days": 30, "payment": PAYMENT}
        http.post("/subscription/credits", json=body).raise_for_status()
        charge = {"user_id": "metered", "service_type": "chat", "credit_amount": 1}
        http.post("/subscription/usage", json=charge).raise_for_status()
        http.post("/subscription/usage", json=charge | {"credit_amount": 9999})
        for user_id in ("nobody-yet", "metered", "metered"):
            http.get("/subscription/status", params={"user_id": user_id}).raise_for_status()
        http.post("/admin/validate", json={}).raise_for_status()
    wanted = asked_for() - NOT_YET

    missing = set(wanted)

    def all_there() -> bool:
        missing.intersection_update(wanted - exported(rehearsal))
        return not missing

    try:
        wait_until(all_there, PATIENCE_SECONDS)
    finally:
        assert missing == set()

    assert asked_for() >= NOT_YET
