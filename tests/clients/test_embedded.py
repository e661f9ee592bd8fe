"""The element for users in a real browser: on a page of another origin, and on the page for users.

Pictures of both are left in the tests' folders.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.edge.routes.embedded import ELEMENT, content_of
from bench.processes import free_port
from tests.browser.axe import faults
from tests.builders.authors import NOON
from tests.builders.tokens import now, token
from tests.fakes.chromium import Chromium, chromium
from tests.fakes.edge import CREDITS
from tests.fakes.interface import Listening, listening
from tests.fakes.other_site import Content, OtherSite, site

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>An application</title><link rel="icon" href="data:,">
<body style="margin: 0; padding: 1rem; background: light-dark(#eee, #222); color-scheme: light dark">
<script src="%s/embed/allotment.js" defer></script>
<allotment-usage %s></allotment-usage>"""
USAGE = "document.querySelector('allotment-usage')"
WITHIN = f"{USAGE}.shadowRoot"
LEFT = f"{WITHIN}.querySelector('[role=meter]')?.ariaValueNow"
SAID = f"{WITHIN}.querySelector('[role=status]')?.textContent"
BARS = f"{WITHIN}.querySelectorAll('.bars i').length"
BACK = f"getComputedStyle({WITHIN}.querySelector('section')).backgroundColor"
WHITE, BLACK = "rgb(255, 255, 255)", "rgb(23, 27, 33)"
EVIL = "<img/src=x/onerror=hacked=1>"
PACK = {
    "user_id": "ada",
    "amount": 1111,
    "kind": "pack",
    "expires_at": "2027-01-01T00:00:00Z",
    "payment": CREDITS["payment"] | {"transaction_id": "t-2"},  # type: ignore[operator]
}


class World:
    """A service, an application's site, and a browser that looks at it."""

    def __init__(self, interface: Listening, other: OtherSite, browser: Chromium) -> None:
        self.interface, self.other, self.browser = interface, other, browser
        self.http = httpx.Client(base_url=interface.address, headers=interface.headers())

    def post(self, path: str, **body: Any) -> None:
        self.http.post(path, json=body).raise_for_status()

    def charge(self, amount: int, **more: str) -> None:
        body = {"user_id": "ada", "service_type": "chat"} | more
        self.post("/subscription/usage", credit_amount=amount, **body)

    def open(self, attributes: str) -> None:
        self.other.contents = {**self.other.contents, "/": PAGE % (self.service, attributes)}
        self.browser.open(f"{self.other.address}/")

    def open_portal(self) -> None:
        """Open the page for users, once there is something of everything to see."""
        self.charge(30)
        self.post("/subscription/credits", **PACK)
        self.browser.open(f"{self.service}/portal#token={token()}")
        self.browser.wait_until(LEFT, "60")
        self.browser.wait_until(BARS, 30)

    def look(self, width: int, *, dark: bool = False, still: bool = True) -> None:
        """Look at the page on a screen of a width, by a viewer's preferences."""
        self.browser.resize(width, 900, dark=dark, still=still)

    @property
    def service(self) -> str:
        return self.interface.address


@contextlib.contextmanager
def opened(
    folder: Path, contents: Mapping[str, Content], known: str | None = None
) -> Iterator[World]:
    """Yield a world whose pages complain about nothing but what is known."""
    port = free_port()
    with (
        listening([f"http://localhost:{port}"]) as interface,
        site(port, contents) as other,
        chromium(folder / "browser", known) as browser,
    ):
        world = World(interface, other, browser)
        world.post("/subscription/credits", **CREDITS)
        yield world
        world.http.close()


def a_token(**claims: Any) -> dict[str, str]:
    return {"token": token(claims)}


def test_a_page_of_another_origin_sees_a_charge_move_the_ring(tmp_path: Path) -> None:
    with opened(tmp_path, {"/token": a_token}) as world:
        world.look(1280)
        world.open('token-url="/token" refresh="3600" more-url="/buy"')
        world.browser.wait_until(LEFT, "90")
        world.browser.wait_until(BARS, 30)
        world.browser.wait_for_answers("/events?", 1)
        # At first, and when the stream is open.
        world.browser.wait_for_answers("/subscription/status", 2)

        world.charge(80)  # It leaves few: an event comes, and no reading is due for an hour.
        world.browser.wait_until(LEFT, "10")
        world.charge(7)  # No event tells of it: it is seen with the next reading.
        world.browser.evaluate(f"{USAGE}.setAttribute('refresh', '2')")
        world.browser.wait_until(LEFT, "3")

        told = world.browser.evaluate(f"{WITHIN}.querySelector('[role=meter]').ariaValueText")
        assert told == "3 left today. 87 of 90 used today"
        pictures(world, tmp_path, "page")


def test_the_page_for_users_shows_today_and_keeps_no_token(tmp_path: Path) -> None:
    with opened(tmp_path, {}) as world:
        world.post("/subscription/credits", **CREDITS | {"user_id": EVIL})
        world.post("/subscription/usage", user_id=EVIL, service_type=EVIL, credit_amount=5)
        world.look(1280)
        world.open_portal()
        pictures(world, tmp_path, "portal")
        levels = f"Array.from({WITHIN}.querySelectorAll('[aria-level]'), one => one.ariaLevel)"
        assert world.browser.evaluate(f"{levels}.join()") == "1,2,2,2"

        assert world.browser.evaluate("location.href") == f"{world.service}/portal"
        assert "eyJ" not in world.browser.evaluate("document.documentElement.outerHTML")

        world.browser.evaluate(f"location.hash = '#token={token({'sub': EVIL})}'")  # Another link.
        world.browser.wait_until(LEFT, "85")
        world.browser.wait_until(f"{WITHIN}.querySelector('li span')?.textContent", EVIL)
        assert world.browser.evaluate(f"{WITHIN}.querySelectorAll('img').length") == 0
        assert world.browser.evaluate("location.href") == f"{world.service}/portal"


def test_everybody_can_use_the_page_for_users(tmp_path: Path) -> None:
    with opened(tmp_path, {}) as world:
        world.open_portal()
        for width, dark in [(1280, False), (390, True)]:
            world.look(width, dark=dark)
            assert faults(world.browser) == []


def test_without_a_token_the_page_for_users_says_so(tmp_path: Path) -> None:
    with opened(tmp_path, {}) as world:
        world.browser.open(f"{world.service}/portal?token={token()}")
        world.browser.wait(f"{SAID}.startsWith('Your access has ended')")


def test_colours_follow_the_viewer_and_the_page(tmp_path: Path) -> None:
    with opened(tmp_path, {"/token": a_token}) as world:
        world.look(1280)
        world.open('token-url="/token"')
        world.browser.wait_until(LEFT, "90")

        for dark, theme, back in [
            (False, "", WHITE),
            (True, "", BLACK),
            (True, "light", WHITE),
            (False, "dark", BLACK),
        ]:
            world.look(1280, dark=dark)
            world.browser.evaluate(f"{USAGE}.setAttribute('theme', '{theme}')")
            assert world.browser.evaluate(BACK) == back, (dark, theme)
        world.browser.evaluate(f"{USAGE}.style.setProperty('--allotment-background', 'teal')")
        assert world.browser.evaluate(BACK) == "rgb(0, 128, 128)"


def test_a_viewer_may_use_keys_another_language_and_no_movement(tmp_path: Path) -> None:
    with opened(tmp_path, {"/token": a_token}) as world:
        world.post("/subscription/credits", **PACK)
        world.look(1280)
        world.open('token-url="/token" lang="de-AT" more-url="/buy" text-packs="Vorrat"')
        world.browser.wait_until(LEFT, "90")
        circle = f"getComputedStyle({WITHIN}.querySelector('circle.full'))"

        world.browser.tab()
        assert world.browser.evaluate(f"{WITHIN}.activeElement.textContent") == "Mehr holen"
        text = world.browser.evaluate(f"{WITHIN}.querySelector('section').textContent")
        assert "Neu in 12 Stunden" in text
        world.browser.wait(f"{WITHIN}.textContent.includes('Vorrat')")
        assert world.browser.evaluate(f"{circle}.transitionDuration") == "0s"
        world.look(1280, still=False)
        assert world.browser.evaluate(f"{circle}.transitionDuration") == "0.6s"
        meter = f"{WITHIN}.querySelector('[role=meter]')"
        told = world.browser.evaluate(f"[{meter}.ariaLabel, {meter}.ariaValueMax]")
        assert told == ["Guthaben", "90"]


def test_it_asks_again_when_a_token_is_over(tmp_path: Path) -> None:
    tokens = iter([token({"exp": now() - 120}), token()])

    with opened(tmp_path, {"/token": lambda: {"token": next(tokens)}}, "401") as world:
        world.open('token-url="/token"')
        world.browser.wait_until(LEFT, "90")

    assert [path for _, path, _ in world.other.asked].count("/token") == 2


def test_a_page_without_an_address_for_tokens_is_told_and_may_set_one(tmp_path: Path) -> None:
    with opened(tmp_path, {}, "401") as world:
        world.open(f'token="{token({"exp": now() - 120})}"')
        world.browser.wait(f"{SAID}.startsWith('Your access has ended')")

        world.browser.evaluate(f"{USAGE}.token = '{token()}'")
        world.browser.wait_until(LEFT, "90")


def test_what_is_given_before_the_script_is_there_counts(tmp_path: Path) -> None:
    with opened(tmp_path, {"/token": a_token}, "none:") as world:
        page = PAGE % ("none:", "")
        world.other.contents = {**world.other.contents, "/late": page}
        world.browser.open(f"{world.other.address}/late")
        world.browser.wait(f"!!{USAGE}")
        source = "async () => (await (await fetch('/token')).json()).token"
        world.browser.evaluate(f"{USAGE}.tokenSource = {source}; 0")
        world.browser.evaluate(
            "document.head.append(Object.assign(document.createElement('script'),"
            f" {{src: '{world.service}/embed/{ELEMENT}'}}))"
        )
        world.browser.wait_until(LEFT, "90")


@pytest.mark.parametrize(
    ("attributes", "known"),
    [
        ('token="allot_abcdefghijklmnop"', "never an API key"),
        ('token="{token}" src="{elsewhere}"', "src is not where the script came from"),
    ],
    ids=["an API key", "another service than the script's"],
)
def test_what_must_not_be_sent_is_not(tmp_path: Path, attributes: str, known: str) -> None:
    contents: dict[str, Content] = {f"/embed/{ELEMENT}": content_of(ELEMENT)}

    with site(free_port(), contents) as service, site(free_port(), {}) as elsewhere:
        given = attributes.format(token=token(), elsewhere=elsewhere.address)
        service.contents = contents | {"/": PAGE % (service.address, given)}
        with chromium(tmp_path, known) as browser:
            browser.open(f"{service.address}/")
            browser.wait(f"{SAID}.startsWith('The newest numbers')")

    assert {path for _, path, _ in service.asked} == {"/", f"/embed/{ELEMENT}"}
    assert {shown for _, _, shown in service.asked} == {None}
    assert elsewhere.asked == []


def test_no_text_of_a_service_becomes_markup(tmp_path: Path) -> None:
    evil = '<img src=x onerror="window.hacked = 1">'
    sums = {"records": 1, "credit_amount": 5, "reversed_credits": 0, "token_count": 0}
    status: dict[str, Any] = dict.fromkeys(
        ("status", "timezone", "user_id", "subscription_id"), evil
    )
    numbers = ("daily_credit_limit", "credits_used", "remaining_credits", "day_remaining_credits")
    status |= dict.fromkeys(numbers, 5) | dict.fromkeys(("credits_held", "pack_credits"), 1)
    status |= {"credits_rolled_over": evil, "low_credits": evil}
    status |= {"as_of": NOON.isoformat(), "resets_at": NOON.isoformat()}
    pack = {"remaining_credits": 5, "category": evil, "pack_id": evil, "expires_at": None}
    contents: dict[str, Content] = {
        f"/embed/{ELEMENT}": content_of(ELEMENT),
        "/subscription/status": status,
        "/subscription/usage/recent": {"by_service": {evil: sums}, "by_day": {evil: sums}},
        "/subscriptions/ada": {"packs": [pack]},
        "/events/token": {"token": evil, "after": evil},
    }

    with site(free_port(), contents) as service:
        more = (
            f'token="{token()}" more-url="javascript:window.hacked=1" text-title="&lt;img src=x>"'
        )
        service.contents = contents | {"/": PAGE % (service.address, more)}
        with chromium(tmp_path, "404") as browser:  # There are no events.
            browser.open(f"{service.address}/")
            browser.wait_until(BARS, 30)
            text = browser.evaluate(f"{WITHIN}.textContent")
            found = browser.evaluate(f"{WITHIN}.querySelectorAll('img, a, script').length")
            hacked = browser.evaluate("window.hacked ?? null")

    assert text.count(evil) >= 3  # The status, a service, a pack's category.
    assert (found, hacked) == (0, None)


def pictures(world: World, folder: Path, name: str) -> None:
    """Leave pictures for two screens, and see that all of it is on them."""
    for width in (1280, 390):
        for dark in (False, True):
            world.look(width, dark=dark)
            beyond = "[scrollWidth > innerWidth, scrollHeight > innerHeight]"
            within = f"with (document.documentElement) {beyond}.join()"
            world.browser.wait_until(within, "false,false")
            file = f"{name}-{width}-{'dark' if dark else 'light'}.png"
            (folder / file).write_bytes(world.browser.picture())
