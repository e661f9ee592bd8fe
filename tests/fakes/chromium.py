"""A real Chromium, driven by Playwright: that of the machine, so that none has to be downloaded.

A test that asks for a browser is skipped where there is none on the machine.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Playwright, sync_playwright

from tests.patience import PATIENCE_SECONDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = ("--disable-gpu", "--disable-background-networking", "--force-color-profile=srgb")
POLL_MILLISECONDS = 50
WIDTH, HEIGHT = 800, 600


class Driver:
    """Playwright, of which a thread has one at a time: it runs as long as any browser does."""

    def __init__(self) -> None:
        self._playwright: Playwright | None = None
        self._users = 0

    @contextmanager
    def running(self) -> Iterator[Playwright]:
        """Run it as long as the block, or as another one."""
        self._playwright = self._playwright or sync_playwright().start()
        self._users += 1
        try:
            yield self._playwright
        finally:
            self._users -= 1
            if not self._users:
                self._playwright.stop()
                self._playwright = None


DRIVER = Driver()


class Chromium:
    """One browser without windows, and its one page."""

    def __init__(self, context: BrowserContext) -> None:
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        self._page = context.pages[0]
        self.errors: list[str] = []
        """What pages had to complain about."""
        self.answers: list[str] = []
        """The addresses that answered, in order."""
        self._page.on("pageerror", lambda error: self.errors.append(f"{error}"))
        self._page.on("console", self._note)
        self._page.on("response", lambda response: self.answers.append(response.url))

    def _note(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.errors.append(f"{said.text} {said.location['url']}")

    # --- looking ----------------------------------------------------------------------

    def open(self, address: str) -> None:
        """Go to an address, and wait until its page is there."""
        self._page.goto(address)

    def evaluate(self, script: str) -> Any:
        """Return what a script comes to; a promise is awaited."""
        return self._page.evaluate(script)

    def wait(self, condition: str) -> None:
        """Return once a script comes to true, on this page or one after it."""
        self.wait_until(f"Boolean({condition})", wanted=True)

    def wait_until(self, script: str, wanted: object) -> None:
        """Return once a script comes to what is wanted, on this page or one after it."""
        found: Any = None

        def is_there() -> bool:
            nonlocal found
            try:
                found = self.evaluate(script)
            except Error as error:  # A page that goes takes its scripts with it.
                found = error
            return bool(found == wanted)

        self._until(is_there, lambda: f"{script} stays {found!r}\n{self.errors}\n{self.text()}")

    def wait_for_answers(self, part: str, times: int) -> None:
        """Return once addresses with such a part have answered so often."""
        self._until(
            lambda: sum(part in address for address in self.answers) >= times,
            lambda: f"{self.answers}",
        )

    def wait_for(self, text: str) -> None:
        """Return once a text is shown."""
        self.wait(f"document.body.innerText.includes({json.dumps(text)})")

    def _until(self, reached: Callable[[], bool], why_not: Callable[[], str]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert time.monotonic() < deadline, why_not()
            self._page.wait_for_timeout(POLL_MILLISECONDS)

    def text(self) -> str:
        """Return what the page shows."""
        return str(self.evaluate("document.body.innerText"))

    def resize(self, width: int, height: int, *, dark: bool = False, still: bool = False) -> None:
        """Give the window another size, the colours of day or night, and movement or none."""
        self._page.set_viewport_size({"width": width, "height": height})
        self._page.emulate_media(
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if still else "no-preference",
        )

    def picture(self) -> bytes:
        """Return what the window shows, as PNG."""
        return self._page.screenshot()

    def whole_picture(self, width: int, *, dark: bool = False) -> bytes:
        """Return all of the page, as PNG."""
        self.resize(width, 100, dark=dark)
        return self._page.screenshot(full_page=True)

    # --- doing ------------------------------------------------------------------------

    def fill(self, label: str, text: str) -> None:
        """Write into the field with a label, in place of what it says."""
        self._page.get_by_label(label, exact=True).fill(text)

    def choose(self, selector: str) -> None:
        """Click on what a selector names."""
        self._page.locator(selector).first.click()

    def press(self, name: str) -> None:
        """Click on the first link or button of a name."""
        button = self._page.get_by_role("button", name=name, exact=True)
        button.or_(self._page.get_by_role("link", name=name, exact=True)).first.click()

    def enter(self) -> None:
        """Press the enter key."""
        self._page.keyboard.press("Enter")

    def tab(self) -> None:
        """Press the tabulator: the next field, link or button has the focus."""
        self._page.keyboard.press("Tab")


@contextmanager
def chromium(folder: Path, known: str | None = None) -> Iterator[Chromium]:
    """Yield a browser whose pages complain about nothing. It keeps its files in a folder.

    `known`: what complaints may say, where a test makes some.
    """
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with (
        DRIVER.running() as playwright,
        playwright.chromium.launch_persistent_context(
            folder,
            executable_path=CHROMIUM,
            args=OPTIONS,
            locale="en",
            viewport={"width": WIDTH, "height": HEIGHT},
        ) as context,
    ):
        browser = Chromium(context)
        yield browser
        browser.evaluate("1")  # What was complained of before is there.
    unknown = [one for one in browser.errors if known is None or known not in one]
    assert not unknown, unknown
