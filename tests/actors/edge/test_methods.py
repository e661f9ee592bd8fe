"""HEAD is answered wherever GET is, as GET without a body; an address has no slash at its end."""

from typing import Any

import httpx
import pytest

from actors.edge.app import build_app
from tests.fakes.edge import CREDITS, edge
from tests.fakes.haproxy import ask, haproxy
from tests.fakes.interface import listening
from tests.fakes.shards import in_loop

FILES = ["/docs", "/docs/start.js", "/openapi.json", "/portal", "/embed/allotment.js"]
QUERIES = {
    "/subscription/usage/monthly": "?user_id=ada&month=2026-11",
    "/subscriptions": "",
    "/events": "",
}


def addresses(document: dict[str, Any]) -> list[str]:
    """Return an address of every operation that reads."""
    return FILES + [
        path.replace("{id}", "ada")
        + (QUERIES.get(path, "?user_id=ada") if path.startswith(("/subscr", "/events")) else "")
        for path, item in document["paths"].items()
        if "get" in item
    ]


@in_loop
async def test_head_is_answered_as_get_is_without_a_body() -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        document = (await http.get("/openapi.json")).json()
        for address in addresses(document):
            head = await http.head(address)
            assert (head.status_code, head.content) == (200, b""), address
            if address != "/events":  # It has no end.
                get = await http.get(address)
                assert head.headers == get.headers, address
                assert int(head.headers["content-length"]) == len(get.content) > 0


@in_loop
async def test_head_is_refused_as_get_is() -> None:
    async with edge() as (http, backend):
        backend.lost = True
        unready = await http.head("/readyz")
        invalid = await http.head("/subscription/status")
        unknown = await http.head("/nothing")
        del http.headers["Authorization"]
        strange = await http.head("/subscription/status?user_id=ada")
        healthy = await http.head("/healthz")

    answers = [unready, invalid, unknown, strange, healthy]
    assert [answer.status_code for answer in answers] == [503, 422, 404, 401, 200]
    assert {answer.content for answer in answers} == {b""}


@in_loop
async def test_a_gate_that_is_closed_answers_nothing_but_that_it_lives() -> None:
    async with edge() as (known, backend):
        gate = build_app(backend)
        gate.closed = "The database is a newer version's"
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(gate), base_url=known.base_url, headers=known.headers
        )
        answers = [
            await http.get(path)
            for path in ("/readyz", "/subscription/status?user_id=ada", "/openapi.json")
        ]
        alive = await http.get("/healthz")
        await http.aclose()

    assert {(one.status_code, one.json()["code"]) for one in answers} == {
        (503, "storage_unavailable")
    }
    assert {one.json()["title"] for one in answers} == {"The database is a newer version's"}
    assert alive.status_code == 200


@in_loop
async def test_what_cannot_be_read_has_no_head() -> None:
    async with edge() as (http, _):
        head = await http.head("/subscription/credits")
        other = await http.put("/subscription/usage")

    assert (head.status_code, head.headers["allow"], head.content) == (405, "POST", b"")
    assert (other.status_code, other.headers["allow"]) == (405, "GET, HEAD, POST")


def test_a_balancers_probe_leaves_the_connection_good() -> None:
    with (
        listening() as interface,
        httpx.Client(base_url=interface.address, headers=interface.headers()) as http,
    ):
        for path in ["/healthz", "/readyz", "/docs", "/subscription/status?user_id=ada"]:
            head, get = http.head(path), http.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) == len(get.content)


def test_head_comes_through_haproxy(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        listening() as interface,
        haproxy(tmp_path_factory.mktemp("proxy"), interface.port) as port,
    ):
        answers = {
            path: ask(
                port, f"HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
            )
            for path in (
                "/healthz",
                "/docs",
                "/portal",
                "/-/routes",
                "/subscription/status?user_id=ada",
            )
        }

    assert [status for status, _, _ in answers.values()] == [200, 200, 200, 401, 401]
    assert {body for _, _, body in answers.values()} == {b""}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/healthz/"),
        ("GET", "/readyz/"),
        ("GET", "/docs/"),
        ("GET", "/openapi.json/"),
        ("POST", "/stripe/webhook/"),
        ("GET", "/subscriptions/"),
        ("GET", "/subscriptions/ada/"),
        ("GET", "/subscription/status/?user_id=ada"),
        ("POST", "/subscription/usage/"),
    ],
)
@in_loop
async def test_a_slash_too_many_is_named(method: str, path: str) -> None:
    async with edge() as (http, _):
        if not path.startswith("/subscription"):  # Where no key is needed, none is asked for.
            del http.headers["Authorization"]
        answer = await http.request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json()["detail"].endswith("leave out the slash at its end")
