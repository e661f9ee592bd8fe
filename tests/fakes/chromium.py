"""A real Chromium, driven by its own DevTools protocol over a pipe: no driver has to be installed.

A test that asks for a browser is skipped where there is none on the machine.
"""

import base64
import fcntl
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_SECONDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--lang=en", "--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-pipe"),
)
PIPES = """
import os, sys
for place, descriptor in enumerate(sys.argv[1:3], 3):
    os.dup2(int(descriptor), place)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads what it is told from descriptor 3, and writes its answers to 4."""
DESCRIPTOR_MIN = 10
POLL_SECONDS = 0.05
WORDS = "e => (e.innerText || e.value || e.getAttribute('aria-label') || '').trim()"


class BrowserError(AssertionError):
    """The browser cannot do what it is told."""


class Chromium:
    """One browser without windows, and its one page."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None, "the caller has looked for it"
        ours, theirs = _pipe(), _pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", PIPES, str(ours[0]), str(theirs[1])),
                *(CHROMIUM, *OPTIONS, f"--user-data-dir={folder}", "about:blank"),
            ],
            pass_fds=(ours[0], theirs[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._to = os.fdopen(ours[1], "wb", buffering=0)
        self._from = os.fdopen(theirs[0], "rb")
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._number = 0
        self._session: str | None = None
        self.errors: list[str] = []
        """What pages had to complain about."""
        self.answers: list[str] = []
        """The addresses that answered, in order."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self) -> None:
        """Take hold of its page."""
        self._session = self._attached()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.tell(f"{domain}.enable")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        self._to.close()
        self._from.close()

    # --- looking ----------------------------------------------------------------------

    def open(self, address: str) -> None:
        """Go to an address, and wait until its page is there."""
        self.evaluate("globalThis.before = 1")
        found = self.tell("Page.navigate", url=address)
        assert "errorText" not in found, f"{address}: {found['errorText']}"
        self.wait("document.readyState === 'complete' && !globalThis.before")

    def evaluate(self, script: str) -> Any:
        """Return what a script comes to; a promise is awaited."""
        told = self.tell(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in told:
            raise BrowserError(json.dumps(told["exceptionDetails"])[:2000])
        return told["result"].get("value")

    def wait(self, condition: str) -> None:
        """Return once a script comes to true, on this page or one after it."""
        self.wait_until(f"Boolean({condition})", wanted=True)

    def wait_until(self, script: str, wanted: object) -> None:
        """Return once a script comes to what is wanted, on this page or one after it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := self._found(script)) != wanted:
            assert time.monotonic() < deadline, (
                f"{script} stays {found!r}\n{self.errors}\n{self.text()}"
            )
            time.sleep(POLL_SECONDS)

    def wait_for_answers(self, part: str, times: int) -> None:
        """Return once addresses with such a part have answered so often."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while sum(part in address for address in self.answers) < times:
            assert time.monotonic() < deadline, self.answers
            self._next()

    def wait_for(self, text: str) -> None:
        """Return once a text is shown."""
        self.wait(f"document.body.innerText.includes({json.dumps(text)})")

    def _found(self, script: str) -> Any:
        try:
            return self.evaluate(script)
        except BrowserError as error:  # A page that goes takes its scripts with it.
            return error

    def text(self) -> str:
        """Return what the page shows."""
        return str(self.evaluate("document.body.innerText"))

    def resize(self, width: int, height: int, *, dark: bool = False, still: bool = False) -> None:
        """Give the window another size, the colours of day or night, and movement or none."""
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        chosen = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce" if still else "no-preference",
        }
        features = [{"name": name, "value": value} for name, value in chosen.items()]
        self.tell("Emulation.setEmulatedMedia", features=features)

    def picture(self) -> bytes:
        """Return what the window shows, as PNG."""
        return base64.b64decode(self.tell("Page.captureScreenshot", format="png")["data"])

    def whole_picture(self, width: int, *, dark: bool = False) -> bytes:
        """Return all of the page, as PNG: the window becomes as high as the page."""
        self.resize(width, 100, dark=dark)
        self.resize(width, self.evaluate("document.documentElement.scrollHeight"), dark=dark)
        return self.picture()

    # --- doing ------------------------------------------------------------------------

    def fill(self, label: str, text: str) -> None:
        """Write into the field with a label, in place of what it says."""
        self.evaluate(
            f"""(() => {{
              const label = [...document.querySelectorAll('label')]
                .find((one) => one.innerText.trim() === {json.dumps(label)});
              const field = label.control;
              field.focus();
              field.select?.();
            }})()"""
        )
        self.tell("Input.insertText", text=text)

    def choose(self, selector: str) -> None:
        """Click on what a selector names."""
        self._click(f"document.querySelector({json.dumps(selector)})")

    def press(self, name: str) -> None:
        """Click on the first link or button of a name."""
        self._click(
            f"[...document.querySelectorAll('a, button')]"
            f".find((e) => ({WORDS})(e) === {json.dumps(name)})"
        )

    def enter(self) -> None:
        """Press the enter key."""
        self._strike("Enter", windowsVirtualKeyCode=13, text="\r")

    def tab(self) -> None:
        """Press the tabulator: the next field, link or button has the focus."""
        self._strike("Tab")

    def _strike(self, key: str, **more: Any) -> None:
        for kind in ("keyDown", "keyUp"):
            self.tell("Input.dispatchKeyEvent", type=kind, key=key, code=key, **more)

    def _click(self, element: str) -> None:
        """Click where an element is: what lies above it would be hit in its place."""
        self.wait(f"Boolean({element})")
        x, y = self.evaluate(
            f"""(() => {{
              const element = {element};
              element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
              const box = element.getClientRects()[0];
              return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.tell("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    # --- the protocol -----------------------------------------------------------------

    def tell(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its result. Raises BrowserError."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") != self._number:
                continue
            if "error" in answer:
                raise BrowserError(f"{method}: {answer['error']}")
            result: dict[str, Any] = answer["result"]
            return result

    def _attached(self) -> str:
        targets = self.tell("Target.getTargets")["targetInfos"]
        (page,) = [one["targetId"] for one in targets if one["type"] == "page"]
        attached = self.tell("Target.attachToTarget", targetId=page, flatten=True)
        return str(attached["sessionId"])

    def _next(self) -> dict[str, Any]:
        message = self._messages.get(timeout=PATIENCE_SECONDS)
        if message is None:
            raise BrowserError("the browser has ended")
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"])[:500])
        if event == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            self.errors.append(f"{entry['text']} {entry.get('url', '')}")
        if event == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(json.dumps(params["args"])[:500])
        if event == "Network.responseReceived" and params["type"] != "Preflight":
            self.answers.append(params["response"]["url"])

    def _read(self) -> None:
        rest = b""
        while chunk := self._from.read1():
            *whole, rest = (rest + chunk).split(b"\0")
            for message in whole:
                self._messages.put(json.loads(message))
        self._messages.put(None)


@contextmanager
def chromium(folder: Path, known: str | None = None) -> Iterator[Chromium]:
    """Yield a browser whose pages complain about nothing. It keeps its files in a folder.

    `known`: what complaints may say, where a test makes some.
    """
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    browser = Chromium(folder)
    try:
        browser.begin()
        yield browser
        browser.evaluate("1")  # What was complained of before is there.
    finally:
        browser.close()
    unknown = [one for one in browser.errors if known is None or known not in one]
    assert not unknown, unknown


def _pipe() -> tuple[int, int]:
    """Return a pipe whose descriptors are none of those that Chromium takes."""
    found = []
    for descriptor in os.pipe():
        found.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, DESCRIPTOR_MIN))
        os.close(descriptor)
    return found[0], found[1]
