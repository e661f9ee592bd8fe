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
from tests.builders.tokens import token
from tests.fakes.chromium import Chromium, chromium
from tests.fakes.other_site import Content, OtherSite, site
from tests.patience import SERVICE_SECONDS
from tests.service.console_speed import looks, pages
from tests.service.receiver import Receiver
from tests.service.requests import add_credits, charge, share_with, status
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

USER, HELPED, UNTOLD = "console-user", "console-helped", "console-untold"
APPLICATION = """<!doctype html><title>An application</title><link rel="icon" href="data:,">
<script src="%s/embed/allotment.js" defer></script>
<allotment-usage token-url="/token" refresh="3600"></allotment-usage>"""
SHADOW = "document.querySelector('allotment-usage').shadowRoot"
LEFT = f"{SHADOW}.querySelector('[role=meter]')?.ariaValueNow"
CONFIRMS = "document.querySelector('[name=confirmed]')?.value === '1'"
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
    confirm(browser, button)


def confirm(browser: Chromium, button: str) -> None:
    """Look at what a form would do, and do it."""
    browser.press("Show what changes")
    browser.wait(CONFIRMS)
    browser.press(button)


def find(browser: Chromium, user: str) -> None:
    """Find a user by id."""
    browser.fill("User id", user)
    browser.enter()
    browser.wait_for("Open holds")


def test_an_operator_mends_a_balance_in_a_browser(
    browser: Chromium, link: str, http: httpx.Client
) -> None:
    add_credits(http, USER)
    charge(http, USER, 30)

    home = sign_in(browser, link)
    find(browser, USER)
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
    confirm(browser, "Make a key")
    browser.wait_for("The key trial is made.")
    key = browser.evaluate("document.querySelector('.secret').innerText")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=service.address, headers=headers) as http:
        wait_until(lambda: allowed(http), SERVICE_SECONDS)  # Keys are read every few seconds.
        browser.choose("tbody tr:last-child a[href*=revoke]")
        browser.wait_for("Whoever calls with this key is refused.")
        confirm(browser, "Revoke a key")
        browser.wait_for("The key trial is revoked.")
        wait_until(lambda: not allowed(http), SERVICE_SECONDS)


def allowed(http: httpx.Client) -> bool:
    """Say whether a key is in force."""
    return http.get("/subscription/status", params={"user_id": USER}).status_code == 200


def test_an_endpoint_that_is_made_in_a_browser_takes_signed_events_until_it_is_removed(
    browser: Chromium, link: str, http: httpx.Client
) -> None:
    home = sign_in(browser, link)
    with Receiver() as own:
        browser.open(f"{home}/endpoints/make")
        browser.fill("Address", own.url)
        confirm(browser, "Make an endpoint")
        browser.wait_for("The endpoint is made.")
        own.secret = browser.evaluate("document.querySelector('.secret').innerText")
        made = http.get("/admin/endpoints").json()[-1]
        browser.choose(f"[value={made['endpoint_id']}] + button")
        browser.wait_for("The test event has arrived: 204")
        browser.choose(f"a[href='/endpoints/remove?endpoint={made['endpoint_id']}']")
        browser.wait_for("Nothing more is sent there.")
        confirm(browser, "Remove an endpoint")
        browser.wait_for("The endpoint is removed.")

    assert made["address"] == own.url
    assert [one.event["type"] for one in own.received] == ["endpoint.test"]
    assert made not in http.get("/admin/endpoints").json()


@pytest.fixture
def application(service: RunningService, http: httpx.Client) -> Iterator[OtherSite]:
    """Yield a site of another origin, which may call the service, with a user's element on its page."""
    page, port = APPLICATION % service.address, free_port()
    contents: dict[str, Content] = {
        "/": page,
        "/token": lambda: {"token": token({"sub": HELPED})},
    }
    with site(port, contents) as other, share_with(http, other.address):
        yield other


def add_pack(browser: Chromium, amount: str) -> None:
    """Add credits to the user whose page is shown, as a pack that does not expire."""
    browser.press("Add credits")
    browser.wait("Boolean(document.querySelector('form.form'))")
    browser.choose("[name=kind][value=pack]")
    browser.fill("Credits", amount)
    browser.fill("Reason", "an apology")
    confirm(browser, "Add credits")


def test_what_an_operator_does_for_a_user_moves_on_the_applications_page(
    browser: Chromium, link: str, http: httpx.Client, application: OtherSite, tmp_path: Path
) -> None:
    """The application's page asks for nothing by itself: an event has it read again."""
    add_credits(http, HELPED)
    charge(http, HELPED, 30)
    with chromium(tmp_path / "user") as user:
        user.open(f"{application.address}/")
        user.wait_until(LEFT, "60")
        user.wait_for_answers("/subscription/status", 2)  # At first, and when the stream is open.

        sign_in(browser, link)
        find(browser, HELPED)
        add_pack(browser, "5000")
        browser.wait_for("5\u202f000 credits are added.")
        change(browser, "Reverse", "Reverse a charge", Reason="twice")
        browser.wait_for("30 credits are given back.")

        user.wait_until(LEFT, "90")
        user.wait(f"{SHADOW}.textContent.includes('4,500')")


def test_a_dead_letter_is_delivered_again_in_a_browser(
    browser: Chromium, link: str, http: httpx.Client, other_receiver: Receiver
) -> None:
    def letters() -> list[str]:
        report = http.get("/admin/events").json()
        return [one["id"] for one in report["dead"] if one["user_id"] == UNTOLD]

    other_receiver.manner = "400"
    add_credits(http, UNTOLD)
    wait_until(lambda: bool(letters()), SERVICE_SECONDS)
    other_receiver.manner = "ok"
    (letter,) = letters()

    home = sign_in(browser, link)
    browser.open(f"{home}/events")
    browser.choose(f"[name=id][value={letter}] + button")
    browser.wait_for("It is delivered again to webhook other.")

    wait_until(lambda: bool(other_receiver.events_of(UNTOLD)), SERVICE_SECONDS)
    wait_until(lambda: not letters(), SERVICE_SECONDS)


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
