"""Every page in a real browser: on a desk and on a phone, by day and by night, for everybody.

Pictures of all pages are left in the test's folder.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.axe import faults
from tests.builders.console_world import fill
from tests.fakes.chromium import Chromium, chromium
from tests.fakes.console_site import PAGES, Site, console_site
from tests.fakes.http_service import EXAMPLES, HttpService

SIZES = {"desk": (1280, 800, False), "phone": (390, 844, True)}
"""Width, height, and whether it is night."""
MENU_SHOWS_IT = """(() => {
  const at = document.querySelector("nav [aria-current]")?.getBoundingClientRect();
  return !at || (at.left >= 0 && at.right <= innerWidth);
})()"""
HIDDEN_COLUMNS = """[...document.querySelectorAll(".table")]
  .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.innerText)"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with console_site(fill(HttpService())) as site:
        yield site


@pytest.fixture(scope="module")
def browser(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Yield a browser that the link has signed in."""
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        browser.open(site.link)
        browser.wait_for("Every part of the service answers.")
        yield browser


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_everybody_can_use_every_page_and_none_is_wider_than_its_window(
    browser: Chromium, site: Site, tmp_path: Path, name: str, size: str
) -> None:
    width, height, dark = SIZES[size]
    browser.resize(width, height, dark=dark)
    browser.open(site.address + PAGES[name])
    assert browser.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert browser.evaluate(MENU_SHOWS_IT)
    assert size == "phone" or not browser.evaluate(HIDDEN_COLUMNS)
    assert faults(browser) == []
    picture = browser.whole_picture(width, dark=dark)
    (tmp_path / f"{name}-{width}.png").write_bytes(picture)


def test_a_plan_and_a_new_key_can_be_used_by_everybody(browser: Chromium, site: Site) -> None:
    browser.resize(1280, 800)
    browser.open(site.address + PAGES["adjust"])
    browser.fill("Credits", "25")
    browser.fill("Reason", "an outage")
    browser.press("Show what changes")
    browser.wait_for("Adjust the balance?")

    assert faults(browser) == []


def test_the_sign_in_can_be_used_by_everybody(site: Site, tmp_path: Path) -> None:
    with chromium(tmp_path / "another") as browser:
        for width, height, dark in SIZES.values():
            browser.resize(width, height, dark=dark)
            browser.open(f"{site.address}/sign-in?why=out")
            assert faults(browser) == []


def test_a_script_that_others_have_written_is_shown_and_does_not_run(tmp_path: Path) -> None:
    """The pages of a user and of lists, with a script wherever callers choose a text."""
    script = "<img src=x onerror='document.title=1'><script>document.title=1</script>"
    service = HttpService()
    record = EXAMPLES["UsagePage"]["items"][0]
    spoilt = record | {"service_type": script, "model_used": script, "details": {script: script}}
    service.answers["GET", "/subscription/usage"] = {"items": [spoilt], "next_cursor": None}
    with console_site(service) as site, chromium(tmp_path) as browser:
        browser.open(site.link)
        browser.wait_for("Every part of the service answers.")
        browser.open(f"{site.address}/user?id=ada")

        assert script in browser.text()
        assert browser.evaluate("document.title") == "ada · Allotment"
        assert browser.evaluate("document.querySelectorAll('main img, main script').length") == 0
