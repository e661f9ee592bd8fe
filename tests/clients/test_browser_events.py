"""A browser's EventSource on a page of another origin gets a charge live."""

import contextlib
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from bench.processes import free_port
from tests.builders.tokens import token
from tests.fakes.edge import CREDITS
from tests.fakes.interface import listening
from tests.patience import PATIENCE_SECONDS

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
PAGE = """<!doctype html><script>
const stream = new EventSource(%s);
const tell = (path, text) => fetch(path, { method: "POST", body: text });
stream.onopen = () => tell("/opened", "");
stream.onerror = () => tell("/failed", String(stream.readyState));
stream.addEventListener("subscription.low_credits", (event) => tell("/told", event.data));
</script>"""


class Site(ThreadingHTTPServer):
    """Another origin: one page, and what it tells."""

    def __init__(self, port: int, address: str) -> None:
        super().__init__(("127.0.0.1", port), Visitor)
        self.page = (PAGE % json.dumps(address)).encode()
        self.told: queue.Queue[tuple[str, str]] = queue.Queue()


class Visitor(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self._answer(self.server.page)

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.told.put((self.path, text))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@contextlib.contextmanager
def visited(site: Site, folder: Path) -> Iterator[None]:
    """Have a browser look at the page as long as the block."""
    assert BROWSER is not None
    serving = threading.Thread(target=site.serve_forever)
    serving.start()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    debugging = "--remote-debugging-port=0"  # Without it, it ends when the page is there.
    browser = subprocess.Popen(
        [
            BROWSER,
            *options,
            debugging,
            f"--user-data-dir={folder}",
            f"http://localhost:{site.server_port}/",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        browser.terminate()
        browser.wait(PATIENCE_SECONDS)
        site.shutdown()
        serving.join()
        site.server_close()


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
def test_a_page_of_another_origin_is_told_of_a_charge_as_it_happens(tmp_path: Path) -> None:
    port = free_port()
    with (
        listening([f"http://localhost:{port}"]) as interface,
        httpx.Client(base_url=interface.address, headers=interface.headers()) as http,
    ):
        http.post("/subscription/credits", json=CREDITS).raise_for_status()
        own = {"Authorization": f"Bearer {token()}"}
        made = http.post("/events/token", headers=own).raise_for_status().json()
        site = Site(port, f"{interface.address}/events?{urlencode({'token': made['token']})}")
        with visited(site, tmp_path):
            opened = site.told.get(timeout=PATIENCE_SECONDS)
            charge = {"user_id": "ada", "service_type": "chat", "credit_amount": 80}
            http.post("/subscription/usage", json=charge).raise_for_status()
            path, text = site.told.get(timeout=PATIENCE_SECONDS)

    assert opened == ("/opened", "")
    assert path == "/told"
    assert json.loads(text)["user_id"] == "ada"
