"""The console in a real browser, beside a real service: signed in by the link, a balance mended.

It takes Debian's Chromium and Playwright's Python package. Pictures of the pages are left in the test's folder.
"""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.processes import free_port
from tests.patience import SERVICE_SECONDS
from tests.service.requests import add_credits, charge, status
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

CHROMIUM = shutil.which("chromium")
WIDTHS = {1280: 800, 390: 844}
USER = "console-user"
PAGES = ("/", f"/user?id={USER}", "/subscriptions", "/events", "/sweeps", "/shards")


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
def page() -> Iterator[Any]:
    """Yield a page of a browser that has met no error."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright's Python package is not installed"
    )
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    errors: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(SERVICE_SECONDS * 1000)
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()
    assert errors == []


def sign_in(page: Any, link: str) -> str:
    """Open the printed link; return where the console is."""
    home = link.partition("/sign-in")[0]
    page.goto(link)
    page.wait_for_url(f"{home}/")
    assert "once" not in page.evaluate("JSON.stringify([location.href, document.referrer])")
    page.get_by_text("Every part of the service answers.").wait_for()
    page.locator("svg.line").wait_for()  # The live part has come again, twice.
    return home


def change(page: Any, action: str, button: str, **fields: str) -> None:
    """Fill in a form, look at what it would do, and do it."""
    page.get_by_role("link", name=action).click()
    for label, text in fields.items():
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_role("button", name="Show what changes").click()
    page.get_by_role("button", name=button).click()


def take_pictures(page: Any, home: str, folder: Path) -> None:
    """Look at every page on a desk and on a phone: none is wider than its window."""
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        for number, path in enumerate(PAGES):
            page.goto(home + path)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} is {wide} pixels wider than {width}"
            page.screenshot(path=str(folder / f"{number}-{width}.png"), full_page=True)


def test_an_operator_mends_a_balance_in_a_browser(
    page: Any, link: str, http: httpx.Client, tmp_path: Path
) -> None:
    add_credits(http, USER)
    charge(http, USER, 30)

    home = sign_in(page, link)
    page.get_by_label("User id").fill(USER)
    page.keyboard.press("Enter")
    change(page, "Adjust", "Adjust the balance", Credits="25", Reason="<b>an outage</b>")
    page.get_by_text("The balance is adjusted.").wait_for()
    assert status(http, USER)["remaining_credits"] == 85

    change(page, "Reverse", "Reverse a charge", Reason="twice")
    page.get_by_text("30 credits are given back.").wait_for()
    assert status(http, USER)["remaining_credits"] == 115
    assert page.get_by_text("<b>an outage</b>", exact=True).count() == 1

    take_pictures(page, home, tmp_path)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()


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
