"""Every user id that may be written is readable at every path that takes one."""

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from actors.auth.caller import Scope
from actors.edge.addresses import Segment
from domain.values import UserId, parse_user_id
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.haproxy import haproxy
from tests.fakes.interface import listening
from tests.fakes.shards import in_loop

SEED = 20261128
MADE_UP = 60
PIECES = [
    *("/", "//", "%2F", "%2f", "%252F", "%", "%00", "/history", "/settle", "?", "#", "&", "=", "+"),
    *(".", "..", "/../", "/./", "\\", ";", ":", "@", "~", "-", "_", ",", "|", '"', "'", "<", "{}"),
    *("ü", "u\u0308", "日本", "🙂", "É", "a", "B", "0", "org", "auth0|", "status"),
]
NAMED = [
    *("org/ada", "a/history", "/history", "history", "ada/", "/ada", "/", "//", "ada//bob"),
    *("org%2Fada", "org%2fada", "%", "%2F", "a%20b", ".", "..", "../ada", "ada/..", "a/./b"),
    *("ada+work@example.org", "a?b=c", "a#b", "a;b", "a&user_id=b", "a\\b", "🙂/🙂", "ü/history"),
    *("6B0A96D692994D6854A54F4A", "6b0a96d692994d6854a54f4a/history", "x" * 128, "/" * 128),
    *("🙂" * 128, "batch", "usage/monthly", "status", "-/routes", "/-/routes"),
]


def user_ids() -> Iterator[UserId]:
    """Yield ids that people have, ids that addresses could mistake, and ids made up of both."""
    rng = random.Random(SEED)
    made_up = ["".join(rng.choices(PIECES, k=rng.randint(1, 8))) for _ in range(MADE_UP)]
    yield from dict.fromkeys(map(parse_user_id, NAMED + [text for text in made_up if text]))


def reading_paths(document: dict[str, Any]) -> list[str]:
    """Return the addresses that take a user id and have an end, with `{}` in its place."""
    found = []
    for path, item in document["paths"].items():
        for parameter in item.get("get", {}).get("parameters", ()):
            where, name = parameter["in"], parameter["name"]
            if where == "path":
                found.append(path.replace(f"{{{name}}}", "{}"))
            elif name == "user_id" and path != "/events":
                more = "&month=2026-11" if path.endswith("monthly") else ""
                found.append(f"{path}?user_id={{}}{more}")
    return found


def whose(answer: dict[str, Any]) -> set[str]:
    """Return the users an answer speaks of."""
    items = [*answer.get("items", ()), *answer.get("subscriptions", ())]
    named = {item["user_id"] for item in items if "user_id" in item}
    return named | ({answer["user_id"]} if "user_id" in answer else set())


def encoded(user: UserId) -> str:
    """Return an id as a part of an address. Clients resolve dots that stand alone."""
    return quote(user, safe="") if user.strip(".") else user.replace(".", "%2E")


def read_everything(http: httpx.Client, users: list[UserId]) -> None:
    """Write for each of these users, and read it back at every address."""
    paths = reading_paths(http.get("/openapi.json").json())
    assert len(paths) >= 6
    for user in users:
        added = http.post("/subscription/credits", json={**CREDITS, "user_id": user})
        held = http.post("/subscription/holds", json={"user_id": user, "credit_amount": 1})
        charged = http.post("/subscription/usage", json={**USAGE, "user_id": user})
        assert (added.status_code, held.status_code, charged.status_code) == (201, 201, 201), user
        for path in paths:
            answer = http.get(path.format(encoded(user)))
            assert answer.status_code == 200, (user, path, answer.text)
            assert whose(answer.json()) == {user}, (user, path)
        assert len(http.get(f"/subscriptions/{encoded(user)}/history").json()["items"]) == 3
        settle = f"/subscription/holds/{held.json()['hold_id']}/settle"
        assert http.post(settle, json={"credit_amount": 1}).status_code == 201, user


def test_every_user_id_is_readable_at_every_path_that_takes_one() -> None:
    with (
        listening() as interface,
        httpx.Client(base_url=interface.address, headers=interface.headers(), timeout=60) as http,
    ):
        read_everything(http, list(user_ids()))


def test_every_user_id_comes_through_haproxy_as_the_service_runs_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with (
        listening() as interface,
        haproxy(tmp_path_factory.mktemp("proxy"), interface.port) as port,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers=interface.headers(),
            timeout=60,
            transport=httpx.HTTPTransport(retries=3),
        ) as http,
    ):
        read_everything(http, list(user_ids()))


@in_loop
async def test_a_users_history_is_not_another_users() -> None:
    async with edge() as (http, _):
        for user in ("a", "a/history"):
            await http.post("/subscription/credits", json={**CREDITS, "user_id": user})

        own = await http.get("/subscriptions/a%2Fhistory")
        others = await http.get("/subscriptions/a/history")

    assert own.json()["subscriptions"][0]["user_id"] == own.json()["user_id"] == "a/history"
    assert (others.json()["user_id"], len(others.json()["items"])) == ("a", 1)


@pytest.mark.parametrize("path", ["/subscriptions/x%1Fy", "/subscriptions/a%ED%B0%AFb"])
@in_loop
async def test_no_other_address_stands_for_a_slash(path: str) -> None:
    async with edge() as (http, _):
        assert (await http.get(path)).status_code == 422


@in_loop
async def test_no_encoded_slash_opens_a_path_to_strangers() -> None:
    async with edge() as (http, _):
        del http.headers["Authorization"]
        answers = [
            (await http.get(path)).status_code
            for path in ("/docs%2F..%2Fsubscriptions", "/docs%2Fswagger-ui.css", "/%2Fhealthz")
        ]

    assert answers == [401, 401, 401]


@in_loop
async def test_every_path_takes_its_ids_whole() -> None:
    async with edge(Scope.ADMIN) as (http, _):
        transport = http._transport
        assert isinstance(transport, httpx.ASGITransport)
        routes = [r for r in transport.app.routes if getattr(r, "param_convertors", None)]  # type: ignore[attr-defined]

    assert len(routes) >= 6
    for route in routes:
        assert all(isinstance(c, Segment) for c in route.param_convertors.values()), route.path
