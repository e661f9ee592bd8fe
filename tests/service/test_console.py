"""The console in a real browser, beside a real service: signed in by the link, a balance mended.

It takes a Chromium. What the pages look like is seen in `tests/actors/console/test_browser.py`.
"""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.processes import free_port
from tests.fakes.chromium import Chromium, chromium
from tests.patience import SERVICE_SECONDS
from tests.service.console_speed import looks, pages
from tests.service.requests import add_credits, charge, status
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

USER = "console-user"
PAGES = (
    *("/", f"/user?id={USER}", "/subscriptions", "/refusals", "/events", "/sweeps", "/shards"),
    *("/endpoints", "/prices", "/keys", "/audit"),
)


@pytest.fixture
def link(service: RunningService) -> Iterator[str]:
    """Run `allotment console`; yield the address that it prints."""
    command = [sys.executable, "-m", "actors", "console", "--port", str(free_port())]
    process = subprocess.Popen(
        command,
        cwd=service.cwd,
        env=service.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    greeting = process.stdout.readline()
    found = re.search(r"http://\S+#once=\S+", greeting)
    assert found, greeting
    yield found[0]
    process.terminate()
    rest = process.communicate(timeout=SERVICE_SECONDS)[0]
    assert service.key not in greeting + rest


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    with chromium(tmp_path / "chromium") as browser:
        browser.resize(1280, 800)
        yield browser


def sign_in(browser: Chromium, link: str) -> str:
    """Open the printed link; return where the console is."""
    browser.open(link)
    browser.wait_for("Every part of the service answers.")
    assert "once" not in browser.evaluate("JSON.stringify([location.href, document.referrer])")
    browser.wait("Boolean(document.querySelector('svg.line'))")  # The live part came again, twice.
    return link.partition("/sign-in")[0]


def change(browser: Chromium, action: str, button: str, **fields: str) -> None:
    """Fill in a form, look at what it would do, and do it."""
    browser.press(action)
    browser.wait("Boolean(document.querySelector('form.form'))")
    for label, text in fields.items():
        browser.fill(label, text)
    browser.press("Show what changes")
    browser.wait("document.querySelector('[name=confirmed]')?.value === '1'")
    browser.press(button)


def test_an_operator_mends_a_balance_in_a_browser(
    browser: Chromium, link: str, http: httpx.Client
) -> None:
    add_credits(http, USER)
    charge(http, USER, 30)

    home = sign_in(browser, link)
    browser.fill("User id", USER)
    browser.enter()
    browser.wait_for("Open holds")
    change(browser, "Adjust", "Adjust the balance", Credits="25", Reason="<b>an outage</b>")
    browser.wait_for("The balance is adjusted.")
    assert status(http, USER)["remaining_credits"] == 85

    change(browser, "Reverse", "Reverse a charge", Reason="twice")
    browser.wait_for("30 credits are given back.")
    assert status(http, USER)["remaining_credits"] == 115
    assert "<b>an outage</b>" in browser.text()

    for path in PAGES:
        browser.open(home + path)
        assert browser.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    browser.press("Sign out")
    browser.wait_for("You are signed out.")


def test_a_key_that_is_revoked_in_a_browser_opens_nothing(
    browser: Chromium, link: str, service: RunningService
) -> None:
    home = sign_in(browser, link)
    browser.open(f"{home}/keys/make")
    browser.fill("Name", "trial")
    browser.press("Show what changes")
    browser.wait("document.querySelector('[name=confirmed]')?.value === '1'")
    browser.press("Make a key")
    browser.wait_for("The key trial is made.")
    key = browser.evaluate("document.querySelector('.secret').innerText")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=service.address, headers=headers) as http:
        wait_until(lambda: allowed(http), SERVICE_SECONDS)  # Keys are read every few seconds.
        browser.choose("tbody tr:last-child a[href*=revoke]")
        browser.wait_for("Whoever calls with this key is refused.")
        browser.press("Show what changes")
        browser.wait("document.querySelector('[name=confirmed]')?.value === '1'")
        browser.press("Revoke a key")
        browser.wait_for("The key trial is revoked.")
        wait_until(lambda: not allowed(http), SERVICE_SECONDS)


def allowed(http: httpx.Client) -> bool:
    """Say whether a key is in force."""
    return http.get("/subscription/status", params={"user_id": USER}).status_code == 200


def test_beside_the_service_it_signs_in_once_and_ends_with_it_even_if_that_is_killed(
    tmp_path: Path,
) -> None:
    service = RunningService(tmp_path)
    service.options = ("--console",)
    with service:
        found = re.search(r"(http://\S+)/sign-in#once=(\S+)", "".join(service.output))
        assert found, service.output
        address, token = found.groups()
        with httpx.Client(base_url=address, headers={"Origin": address}) as browser:
            first = browser.post("/sign-in/link", data={"token": token})
            overview = browser.get("/")
        again = httpx.post(
            f"{address}/sign-in/link", data={"token": token}, headers={"Origin": address}
        )
        service.stop(signal.SIGKILL)
        wait_until(lambda: not answers(address), SERVICE_SECONDS)

    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert "Every part of the service answers" in overview.text
    assert again.headers["location"] == "/sign-in?why=link"


def answers(address: str) -> bool:
    """Say whether anything listens there."""
    try:
        httpx.get(address)
    except httpx.TransportError:
        return False
    return True


def test_every_page_is_there_beside_a_real_service(service: RunningService) -> None:
    """As `console_speed` looks at them, which tells how long they take with many users."""
    medians = asyncio.run(looks(service, 1, "nobody"))

    assert medians.keys() == pages("nobody").keys()
