"""Debian's Chromium, driven over its own protocol: one tab, what it shows and what goes wrong in it."""

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.patience import PATIENCE_SECONDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--lang=en",
)
LOOK_AGAIN_SECONDS = 0.05
MESSAGE_BYTES_MAX = 64 * 1024 * 1024  # A picture is one message.


class Tab:
    """A tab. `problems`: exceptions, errors of the console, and what a page's policy has refused.

    `answers`: the addresses that answered, in order.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.problems: list[str] = []
        self.answers: list[str] = []

    async def read(self) -> None:
        """Take what the browser says, until it says nothing more."""
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._asked.pop(said["id"]).set_result(said)
            else:
                self._note(said["method"], said["params"])

    def _note(self, method: str, told: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.problems.append(told["exceptionDetails"]["text"])
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.problems.append(told["entry"]["text"])
        elif method == "Network.responseReceived" and told["type"] != "Preflight":
            self.answers.append(told["response"]["url"])

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Have the browser do something; return its answer."""
        number = next(self._ids)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE_SECONDS):
            said = await answer
        assert "error" not in said, said["error"]
        result: dict[str, Any] = said["result"]
        return result

    async def go(self, address: str) -> None:
        await self.do("Page.navigate", url=address)

    async def value(self, expression: str) -> Any:
        """Return what an expression is in the page."""
        params = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        said = await self.do("Runtime.evaluate", **params)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def until(self, expression: str, wanted: object) -> None:
        """Wait until an expression is what is wanted; a page that is not there yet is waited for."""
        found: object = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while found != wanted:
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)
                    with contextlib.suppress(AssertionError):  # Between two pages there is none.
                        found = await self.value(expression)
        except TimeoutError:
            raise AssertionError(f"{expression} stays {found!r}; {self.problems}") from None

    async def answered(self, part: str, times: int) -> None:
        """Wait until addresses with such a part have answered so often."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sum(part in address for address in self.answers) < times:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def look(self, width: int, *, dark: bool = False, still: bool = True) -> None:
        """Look at the page on a screen of a width, by a viewer's preferences."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        await self.do("Emulation.setDeviceMetricsOverride", **size)
        chosen = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce" if still else "no-preference",
        }
        features = [{"name": name, "value": value} for name, value in chosen.items()]
        await self.do("Emulation.setEmulatedMedia", features=features)

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    async def picture(self) -> bytes:
        """Return a picture of the page (PNG)."""
        taken = await self.do("Page.captureScreenshot", format="png")
        return base64.b64decode(taken["data"])


@contextlib.asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Tab]:
    """Open a browser with one tab, as long as the block."""
    assert CHROMIUM is not None
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *OPTIONS,
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            address = await debugged_at(session, folder / "DevToolsActivePort")
            socket = await session.ws_connect(address, max_msg_size=MESSAGE_BYTES_MAX)
            tab = Tab(socket)
            reading = asyncio.create_task(tab.read())
            for domain in ("Page", "Runtime", "Log", "Network"):
                await tab.do(f"{domain}.enable")
            yield tab
            await socket.close()
            await reading
    finally:
        browser.terminate()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await browser.wait()


def port_of(told_in: Path) -> str:
    return told_in.read_text().partition("\n")[0] if told_in.exists() else ""


async def debugged_at(session: aiohttp.ClientSession, told_in: Path) -> str:
    """Return where the first tab listens, once the browser has told."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            port = port_of(told_in)
            if not port:
                continue
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = [one for one in await answer.json() if one["type"] == "page"]
            if tabs:
                return str(tabs[0]["webSocketDebuggerUrl"])
