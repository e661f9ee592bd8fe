"""Pages of other origins: browsers learn without a key what they may send, and may read the answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from actors.edge.app import build_app
from actors.edge.origins import Shared
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.shards import in_loop

PAGE = "https://app.example"
ALLOWED = "access-control-allow-origin"


@asynccontextmanager
async def behind(*origins: str) -> AsyncIterator[httpx.AsyncClient]:
    async with edge() as (known, backend):
        await known.post("/subscription/credits", json=CREDITS)
        transport = httpx.ASGITransport(Shared(build_app(backend), origins))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://edge", headers=known.headers
        ) as http:
            yield http


async def ask_before(
    http: httpx.AsyncClient, origin: str, method: str, path: str
) -> httpx.Response:
    """Send what a browser sends before a page's request: it has no key."""
    http.headers.pop("Authorization", None)
    return await http.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        },
    )


@pytest.mark.parametrize("path", ["/subscription/usage", "/subscription/holds", "/nothing"])
@in_loop
async def test_a_browser_may_ask_without_a_key_what_its_page_may_send(path: str) -> None:
    async with behind("https://other.example", PAGE) as http:
        answer = await ask_before(http, PAGE, "POST", path)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers[ALLOWED] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in answer.headers
    sent = answer.headers["access-control-allow-headers"].lower()
    assert {"authorization", "content-type", "idempotency-key"} <= set(sent.split(", "))


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://app.example", "null", f"{PAGE}.evil"]
)
@in_loop
async def test_a_page_of_another_origin_is_told_nothing(origin: str) -> None:
    async with behind(PAGE) as http:
        answer = await http.get("/healthz", headers={"Origin": origin})
        before = await ask_before(http, origin, "POST", "/subscription/usage")

    assert (before.status_code, before.json()["code"]) == (403, "forbidden")
    assert ALLOWED not in before.headers
    assert ALLOWED not in answer.headers


@in_loop
async def test_a_page_reads_answers_and_refusals_with_their_headers() -> None:
    async with behind(PAGE) as http:
        page = {"Origin": PAGE}
        charged = await http.post("/subscription/usage", json=USAGE, headers=page)
        refused = await http.post(
            "/subscription/usage", json=USAGE | {"credit_amount": 1000}, headers=page
        )
        del http.headers["Authorization"]
        strange = await http.get("/subscription/status?user_id=ada", headers=page)

    assert [one.status_code for one in (charged, refused, strange)] == [201, 402, 401]
    for answer in (charged, refused, strange):
        assert answer.headers[ALLOWED] == PAGE
        assert answer.headers["vary"] == "Origin"
        assert "Retry-After" in answer.headers["access-control-expose-headers"]


@in_loop
async def test_any_page_may_call_where_all_are_named() -> None:
    async with behind("*") as http:
        answer = await http.get("/healthz", headers={"Origin": "https://any.example"})

    assert answer.headers[ALLOWED] == "*"


@in_loop
async def test_nothing_is_shared_unless_origins_are_named() -> None:
    async with behind() as http:
        before = await ask_before(http, PAGE, "POST", "/subscription/usage")

    assert before.status_code == 401
    assert ALLOWED not in before.headers
