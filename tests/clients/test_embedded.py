"""The element for users in a real browser: on a page of another origin, and on the page for users.

Pictures of both are left in the tests' folders.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.edge.routes.embedded import ELEMENT, content_of
from bench.processes import free_port
from tests.builders.authors import NOON
from tests.builders.tokens import now, token
from tests.fakes.chromium_tab import CHROMIUM, Tab, browsing
from tests.fakes.edge import CREDITS
from tests.fakes.interface import Listening, listening
from tests.fakes.other_site import Content, OtherSite, site
from tests.fakes.shards import in_loop

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

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

    def __init__(self, interface: Listening, other: OtherSite, tab: Tab) -> None:
        self.interface, self.other, self.tab = interface, other, tab
        self.http = httpx.Client(base_url=interface.address, headers=interface.headers())

    def post(self, path: str, **body: Any) -> None:
        self.http.post(path, json=body).raise_for_status()

    def charge(self, amount: int, **more: str) -> None:
        body = {"user_id": "ada", "service_type": "chat"} | more
        self.post("/subscription/usage", credit_amount=amount, **body)

    async def open(self, attributes: str) -> None:
        self.other.contents = {**self.other.contents, "/": PAGE % (self.service, attributes)}
        await self.tab.go(f"{self.other.address}/")

    @property
    def service(self) -> str:
        return self.interface.address


@contextlib.asynccontextmanager
async def opened(folder: Path, contents: Mapping[str, Content]) -> AsyncIterator[World]:
    port = free_port()
    with (
        listening([f"http://localhost:{port}"]) as interface,
        site(port, contents) as other,
    ):
        async with browsing(folder / "browser") as tab:
            world = World(interface, other, tab)
            world.post("/subscription/credits", **CREDITS)
            yield world
            world.http.close()


def a_token(**claims: Any) -> dict[str, str]:
    return {"token": token(claims)}


@in_loop
async def test_a_page_of_another_origin_sees_a_charge_move_the_ring(tmp_path: Path) -> None:
    async with opened(tmp_path, {"/token": a_token}) as world:
        await world.tab.look(1280)
        await world.open('token-url="/token" refresh="3600" more-url="/buy"')
        await world.tab.until(LEFT, "90")
        await world.tab.until(BARS, 30)
        await world.tab.answered("/events?", 1)
        await world.tab.answered(
            "/subscription/status", 2
        )  # At first, and when the stream is open.

        world.charge(80)  # It leaves few: an event comes, and no reading is due for an hour.
        await world.tab.until(LEFT, "10")
        world.charge(7)  # No event tells of it: it is seen with the next reading.
        await world.tab.value(f"{USAGE}.setAttribute('refresh', '2')")
        await world.tab.until(LEFT, "3")

        ring = f"{WITHIN}.querySelector('[role=meter]')"
        assert await world.tab.value(f"{ring}.ariaValueText") == "3 left today. 87 of 90 used today"
        await pictures(world.tab, tmp_path, "page")
        assert world.tab.problems == []


@in_loop
async def test_the_page_for_users_shows_today_and_keeps_no_token(tmp_path: Path) -> None:
    async with opened(tmp_path, {}) as world:
        world.charge(30)
        world.post("/subscription/credits", **PACK)
        world.post("/subscription/credits", **CREDITS | {"user_id": EVIL})
        world.post("/subscription/usage", user_id=EVIL, service_type=EVIL, credit_amount=5)
        await world.tab.look(1280)
        await world.tab.go(f"{world.service}/portal#token={token()}")
        await world.tab.until(LEFT, "60")
        await world.tab.until(BARS, 30)
        await pictures(world.tab, tmp_path, "portal")
        levels = f"Array.from({WITHIN}.querySelectorAll('[aria-level]'), one => one.ariaLevel)"
        assert await world.tab.value(f"{levels}.join()") == "1,2,2,2"

        assert await world.tab.value("location.href") == f"{world.service}/portal"
        assert "eyJ" not in await world.tab.value("document.documentElement.outerHTML")

        await world.tab.value(f"location.hash = '#token={token({'sub': EVIL})}'")  # Another link.
        await world.tab.until(LEFT, "85")
        await world.tab.until(f"{WITHIN}.querySelector('li span')?.textContent", EVIL)
        assert await world.tab.value(f"{WITHIN}.querySelectorAll('img').length") == 0
        assert await world.tab.value("location.href") == f"{world.service}/portal"
        assert world.tab.problems == []


@in_loop
async def test_without_a_token_the_page_for_users_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path, {}) as world:
        await world.tab.go(f"{world.service}/portal?token={token()}")
        await world.tab.until(f"{SAID}.startsWith('Your access has ended')", wanted=True)


@in_loop
async def test_colours_follow_the_viewer_and_the_page(tmp_path: Path) -> None:
    async with opened(tmp_path, {"/token": a_token}) as world:
        await world.tab.look(1280)
        await world.open('token-url="/token"')
        await world.tab.until(LEFT, "90")

        for dark, theme, back in [
            (False, "", WHITE),
            (True, "", BLACK),
            (True, "light", WHITE),
            (False, "dark", BLACK),
        ]:
            await world.tab.look(1280, dark=dark)
            await world.tab.value(f"{USAGE}.setAttribute('theme', '{theme}')")
            assert await world.tab.value(BACK) == back, (dark, theme)
        await world.tab.value(f"{USAGE}.style.setProperty('--allotment-background', 'teal')")
        assert await world.tab.value(BACK) == "rgb(0, 128, 128)"


@in_loop
async def test_a_viewer_may_use_keys_another_language_and_no_movement(tmp_path: Path) -> None:
    async with opened(tmp_path, {"/token": a_token}) as world:
        world.post("/subscription/credits", **PACK)
        await world.tab.look(1280)
        await world.open('token-url="/token" lang="de-AT" more-url="/buy" text-packs="Vorrat"')
        await world.tab.until(LEFT, "90")
        circle = f"getComputedStyle({WITHIN}.querySelector('circle.full'))"

        await world.tab.press("Tab")
        assert await world.tab.value(f"{WITHIN}.activeElement.textContent") == "Mehr holen"
        text = await world.tab.value(f"{WITHIN}.querySelector('section').textContent")
        assert "Neu in 12 Stunden" in text
        await world.tab.until(f"{WITHIN}.textContent.includes('Vorrat')", wanted=True)
        assert await world.tab.value(f"{circle}.transitionDuration") == "0s"
        await world.tab.look(1280, still=False)
        assert await world.tab.value(f"{circle}.transitionDuration") == "0.6s"
        meter = f"{WITHIN}.querySelector('[role=meter]')"
        assert await world.tab.value(f"[{meter}.ariaLabel, {meter}.ariaValueMax]") == [
            "Guthaben",
            "90",
        ]


@in_loop
async def test_it_asks_again_when_a_token_is_over(tmp_path: Path) -> None:
    tokens = iter([token({"exp": now() - 120}), token()])

    async with opened(tmp_path, {"/token": lambda: {"token": next(tokens)}}) as world:
        await world.open('token-url="/token"')
        await world.tab.until(LEFT, "90")

    assert [path for _, path, _ in world.other.asked].count("/token") == 2


@in_loop
async def test_a_page_without_an_address_for_tokens_is_told_and_may_set_one(tmp_path: Path) -> None:
    async with opened(tmp_path, {}) as world:
        await world.open(f'token="{token({"exp": now() - 120})}"')
        await world.tab.until(f"{SAID}.startsWith('Your access has ended')", wanted=True)

        await world.tab.value(f"{USAGE}.token = '{token()}'")
        await world.tab.until(LEFT, "90")


@in_loop
async def test_what_is_given_before_the_script_is_there_counts(tmp_path: Path) -> None:
    async with opened(tmp_path, {"/token": a_token}) as world:
        page = PAGE % ("none:", "")
        world.other.contents = {**world.other.contents, "/late": page}
        await world.tab.go(f"{world.other.address}/late")
        await world.tab.until(f"!!{USAGE}", wanted=True)
        source = "async () => (await (await fetch('/token')).json()).token"
        await world.tab.value(f"{USAGE}.tokenSource = {source}; 0")
        await world.tab.value(
            "document.head.append(Object.assign(document.createElement('script'),"
            f" {{src: '{world.service}/embed/{ELEMENT}'}}))"
        )
        await world.tab.until(LEFT, "90")


@pytest.mark.parametrize(
    "attributes",
    ['token="allot_abcdefghijklmnop"', 'token="{token}" src="{elsewhere}"'],
    ids=["an API key", "another service than the script's"],
)
@in_loop
async def test_what_must_not_be_sent_is_not(tmp_path: Path, attributes: str) -> None:
    contents: dict[str, Content] = {f"/embed/{ELEMENT}": content_of(ELEMENT)}

    with site(free_port(), contents) as service, site(free_port(), {}) as elsewhere:
        given = attributes.format(token=token(), elsewhere=elsewhere.address)
        service.contents = contents | {"/": PAGE % (service.address, given)}
        async with browsing(tmp_path) as tab:
            await tab.go(f"{service.address}/")
            await tab.until(f"{SAID}.startsWith('The newest numbers')", wanted=True)

    assert {path for _, path, _ in service.asked} == {"/", f"/embed/{ELEMENT}"}
    assert {shown for _, _, shown in service.asked} == {None}
    assert elsewhere.asked == []


@in_loop
async def test_no_text_of_a_service_becomes_markup(tmp_path: Path) -> None:
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
        "/subscription/usage/monthly": {"by_service": {evil: sums}, "by_day": {evil: sums}},
        "/subscriptions/ada": {"packs": [pack]},
        "/events/token": {"token": evil, "after": evil},
    }

    with site(free_port(), contents) as service:
        more = (
            f'token="{token()}" more-url="javascript:window.hacked=1" text-title="&lt;img src=x>"'
        )
        service.contents = contents | {"/": PAGE % (service.address, more)}
        async with browsing(tmp_path) as tab:
            await tab.go(f"{service.address}/")
            await tab.until(BARS, 30)
            text = await tab.value(f"{WITHIN}.textContent")
            found = await tab.value(f"{WITHIN}.querySelectorAll('img, a, script').length")
            hacked = await tab.value("window.hacked ?? null")

    assert text.count(evil) >= 3  # The status, a service, a pack's category.
    assert (found, hacked) == (0, None)


async def pictures(tab: Tab, folder: Path, name: str) -> None:
    """Leave pictures for two screens, and see that all of it is on them."""
    for width in (1280, 390):
        for dark in (False, True):
            await tab.look(width, dark=dark)
            beyond = "[scrollWidth > innerWidth, scrollHeight > innerHeight]"
            await tab.until(f"with (document.documentElement) {beyond}.join()", "false,false")
            file = f"{name}-{width}-{'dark' if dark else 'light'}.png"
            await asyncio.to_thread((folder / file).write_bytes, await tab.picture())
