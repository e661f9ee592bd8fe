"""A browser's EventSource on a page of another origin gets a charge live."""

import json
from pathlib import Path
from urllib.parse import urlencode

import httpx

from bench.processes import free_port
from tests.builders.tokens import token
from tests.fakes.chromium import chromium
from tests.fakes.edge import CREDITS
from tests.fakes.interface import listening
from tests.fakes.other_site import site

PAGE = """<!doctype html><link rel="icon" href="data:,"><script>
const told = [];
const stream = new EventSource(%s);
stream.onopen = () => told.push(["opened", ""]);
stream.onerror = () => told.push(["failed", String(stream.readyState)]);
stream.addEventListener("subscription.low_credits", (event) => told.push(["told", event.data]));
</script>"""


def test_a_page_of_another_origin_is_told_of_a_charge_as_it_happens(tmp_path: Path) -> None:
    port = free_port()
    with (
        listening([f"http://localhost:{port}"]) as interface,
        httpx.Client(base_url=interface.address, headers=interface.headers()) as http,
    ):
        http.post("/subscription/credits", json=CREDITS).raise_for_status()
        own = {"Authorization": f"Bearer {token()}"}
        made = http.post("/events/token", headers=own).raise_for_status().json()
        stream = f"{interface.address}/events?{urlencode({'token': made['token']})}"
        page = PAGE % json.dumps(stream)
        with site(port, {"/": page}) as other, chromium(tmp_path) as browser:
            browser.open(f"{other.address}/")
            browser.wait("told.length")
            charge = {"user_id": "ada", "service_type": "chat", "credit_amount": 80}
            http.post("/subscription/usage", json=charge).raise_for_status()
            browser.wait("told.length > 1")
            opened, (kind, text) = browser.evaluate("told")

    assert opened == ["opened", ""]
    assert kind == "told"
    assert json.loads(text)["user_id"] == "ada"
