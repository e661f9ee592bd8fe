"""Takes the pictures of the console that the docs show: `.venv/bin/python -m tests.docs.console_pictures`.

The service behind it is a fake one, so that they are the same each time; it takes a Chromium.
"""

import sys
import tempfile
from pathlib import Path

from tests.builders.console_world import fill
from tests.fakes.chromium import chromium
from tests.fakes.console_site import PAGES, console_site
from tests.fakes.http_service import HttpService

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
BYTES_MAX = 200_000
PICTURES = {
    "console-overview": ("overview", 1280, 870, False),
    "console": ("user", 1280, 980, False),
    "console-users": ("users-left", 1280, 640, False),
    "console-endpoints": ("endpoints", 1280, 540, False),
    "console-keys": ("keys", 1280, 660, False),
    "console-prices": ("prices", 1280, 720, False),
    "console-phone": ("user", 390, 844, True),
}
"""Which page each shows, how wide and how high, and whether at night."""


def take(folder: Path) -> list[Path]:
    """Take all of them into a folder."""
    taken = []
    with (
        tempfile.TemporaryDirectory() as profile,
        console_site(fill(HttpService())) as site,
        chromium(Path(profile)) as browser,
    ):
        browser.open(site.link)
        browser.wait(
            "Boolean(document.querySelector('svg.line'))"
        )  # The live part has come again, twice.
        for name, (page, width, height, dark) in PICTURES.items():
            browser.resize(width, height, dark=dark)
            browser.open(site.address + PAGES[page])
            taken.append(folder / f"{name}.png")
            taken[-1].write_bytes(browser.picture())
    return taken


def main() -> int:
    for path in take(FOLDER):
        assert path.stat().st_size <= BYTES_MAX, f"{path.name} is too large for the docs"
    return 0


if __name__ == "__main__":
    sys.exit(main())
