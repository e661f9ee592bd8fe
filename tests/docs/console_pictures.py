"""Takes the pictures of the console and of the users' element that the docs show: `.venv/bin/python -m tests.docs.console_pictures`.

The service behind it is a fake one, so that they are the same each time; it takes a Chromium.
"""

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.edge.routes.embedded import ELEMENT, content_of
from bench.processes import free_port
from tests.builders.console_world import fill
from tests.builders.tokens import token
from tests.fakes.chromium import chromium
from tests.fakes.console_site import PAGES, console_site
from tests.fakes.http_service import EXAMPLES, HttpService
from tests.fakes.other_site import Content, site

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


USED_A_DAY = (20, 57, 33, 70, 46, 22, 59, 35, 72, 48)
PAGE = """<!doctype html><html lang="en"><title>An application</title><link rel="icon" href="data:,">
<body style="margin: 0; padding: 1rem"><script src="/embed/allotment.js" defer></script>
<allotment-usage token="%s" more-url="/pricing" refresh="3600"></allotment-usage>"""
READY = "document.querySelector('allotment-usage').shadowRoot.querySelectorAll('.bars i').length"


def element_world(now: datetime) -> dict[str, Content]:
    """Return a page with the element, and what a service answers to it."""
    sums = EXAMPLES["RecentUsage"]["by_service"]["chat"]
    days = [f"{now - timedelta(days=back):%Y-%m-%d}" for back in range(30)]
    used = [USED_A_DAY[back % len(USED_A_DAY)] for back in range(30)]
    pack = EXAMPLES["UserSubscriptions"]["packs"][0]
    until = {"expires_at": f"{now + timedelta(days=60):%Y-%m-%dT00:00:00Z}"}
    return {
        "/": PAGE % token(),
        f"/embed/{ELEMENT}": content_of(ELEMENT),
        "/subscription/status": EXAMPLES["CreditStatusResponse"]
        | {"user_id": "ada", "status": "active", "timezone": "UTC", "daily_credit_limit": 90}
        | {"credits_used": 20, "credits_held": 8, "day_remaining_credits": 62}
        | {"credits_rolled_over": 0, "remaining_credits": 1062, "low_credits": False}
        | {"as_of": now.isoformat(), "resets_at": (now + timedelta(hours=5)).isoformat()},
        "/subscription/usage/recent": {
            "by_day": {
                day: sums | {"credit_amount": amount}
                for day, amount in zip(days, used, strict=True)
            },
            "by_service": {
                "chat": sums | {"credit_amount": 905},
                "search": sums | {"credit_amount": 481},
            },
        },
        "/subscriptions/ada": {"packs": [pack | {"remaining_credits": 1000} | until]},
    }


def take_element(folder: Path) -> Path:
    """Take the users' element, on a page of an application."""
    evening = datetime.now(UTC).replace(hour=19, minute=0, second=0, microsecond=0)
    world = element_world(evening)
    with (
        tempfile.TemporaryDirectory() as profile,
        site(free_port(), world) as application,
        chromium(Path(profile), "404") as browser,  # No events are told of there.
    ):
        browser.resize(672, 592, still=True)
        browser.open(f"{application.address}/")
        browser.wait_until(READY, 30)
        taken = folder / "element.png"
        taken.write_bytes(browser.picture())
    return taken


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
    for path in [*take(FOLDER), take_element(FOLDER)]:
        assert path.stat().st_size <= BYTES_MAX, f"{path.name} is too large for the docs"
    return 0


if __name__ == "__main__":
    sys.exit(main())
