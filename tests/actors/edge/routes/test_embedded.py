"""What an application's users see: files that anybody may have, and a page that may do little."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from actors.edge.app import build_app
from actors.edge.backend import Portal
from actors.edge.origins import Shared
from actors.edge.routes.embedded import ELEMENT, NAMES, PAGES, content_of, page_headers, page_of
from tests.fakes.edge import edge
from tests.fakes.shards import in_loop

SCRIPT = f"/embed/{ELEMENT}"
SCRIPT_BYTES_MAX = 20_000
ALLOWED = "access-control-allow-origin"


@asynccontextmanager
async def stranger() -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client without a key."""
    async with edge() as (http, _):
        http.headers.pop("Authorization")
        yield http


def policy_of(portal: Portal) -> dict[str, str]:
    parts = page_headers(portal)["Content-Security-Policy"].split(";")
    return {name: words for name, _, words in (part.strip().partition(" ") for part in parts)}


@in_loop
async def test_any_page_may_have_the_element_and_keeps_it_for_an_hour() -> None:
    async with stranger() as http:
        got = await http.get(SCRIPT)
        again = await http.get(SCRIPT, headers={"If-None-Match": got.headers["etag"]})
        changed = await http.get(SCRIPT, headers={"If-None-Match": '"another"'})

    assert got.status_code == 200
    assert got.headers["content-type"].startswith("text/javascript")
    assert got.headers["cache-control"] == "public, max-age=3600"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["cross-origin-resource-policy"] == "cross-origin"
    assert got.headers[ALLOWED] == "*"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == got.headers["etag"]
    assert changed.content == got.content


def test_the_element_is_small() -> None:
    assert len(content_of(ELEMENT)) < SCRIPT_BYTES_MAX


@pytest.mark.parametrize(
    "sink", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
)
def test_no_text_becomes_markup_or_code(sink: str) -> None:
    assert not [name for name in NAMES if sink.encode() in content_of(name)]


@in_loop
async def test_whom_the_service_lets_call_may_have_the_element_too() -> None:
    async with edge() as (_, backend):
        transport = httpx.ASGITransport(Shared(build_app(backend), ["https://app.example"]))
        async with httpx.AsyncClient(transport=transport, base_url="http://edge") as http:
            named = await http.get(SCRIPT, headers={"Origin": "https://app.example"})
            other = await http.get(SCRIPT, headers={"Origin": "https://other.example"})

    assert (named.headers[ALLOWED], named.headers["vary"]) == ("https://app.example", "Origin")
    assert other.headers[ALLOWED] == "*"


@in_loop
async def test_there_are_no_other_files() -> None:
    async with stranger() as http:
        answers = [
            await http.get(f"/embed/{name}")
            for name in ("portal.html", "..%2Fgate.py", "%2e%2e", "it.json", "", "allotment.js/")
        ]

    assert {answer.status_code for answer in answers} == {404}


@pytest.mark.parametrize("language", ["de", "es", "fr"])
def test_each_language_has_every_word_with_its_places(language: str) -> None:
    source = (PAGES / ELEMENT).read_text(encoding="utf-8")
    english = re.search(r"ENGLISH = \{(.*?)\n  \};", source, re.DOTALL)
    assert english is not None
    ours = dict(re.findall(r'(\w+): "([^"]*)"', english[1]))
    theirs = json.loads((PAGES / f"{language}.json").read_bytes())

    assert f'"{language}"' in source
    assert list(theirs) == list(ours)
    for word, text in ours.items():
        assert set(re.findall(r"\{\w+\}", theirs[word])) == set(re.findall(r"\{\w+\}", text)), word


@in_loop
async def test_the_page_for_users_runs_our_files_alone_and_is_framed_by_nobody() -> None:
    async with stranger() as http:
        page = await http.get("/portal")
        files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        answers = [await http.get(f"/{name}") for name in files if "data" not in name]

    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-cache"
    assert files.pop(0) == "data:,"  # No icon is asked for.
    assert files == ["embed/portal.css", "embed/allotment.js", "embed/portal.js"]
    assert {answer.status_code for answer in answers} == {200}
    assert "<style" not in page.text
    assert all(" src=" in script for script in re.findall("<script[^>]*>", page.text))
    assert not re.search(r"\son\w+=|\sstyle=", page.text)


def test_the_policy_of_the_page_opens_nothing_but_its_own_service() -> None:
    policy = policy_of(Portal())

    assert policy.pop("require-trusted-types-for") == "'script'"
    assert policy.pop("img-src") == "data:"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert {name for name, words in policy.items() if words == "'self'"} == {
        "script-src",
        "style-src",
        "connect-src",
    }


def test_pages_that_are_named_may_frame_it() -> None:
    portal = Portal(framed_by=("https://app.example", "https://b.example:8443"))

    assert policy_of(portal)["frame-ancestors"] == "https://app.example https://b.example:8443"
    assert "X-Frame-Options" not in page_headers(portal)


def test_where_more_comes_from_stays_an_address() -> None:
    page = page_of(Portal(more_url='https://app.example/buy?a=1&b="><script>hacked()</script>'))

    assert b"<script>hacked" not in page
    assert b'more-url="https://app.example/buy?a=1&amp;b=&quot;&gt;&lt;script' in page
