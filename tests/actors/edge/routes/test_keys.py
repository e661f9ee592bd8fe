"""Keys over HTTP: made, listed, rotated and revoked, by those whose own key is at least as wide."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from actors.auth import key_desk
from actors.auth.api_keys import make_key
from actors.auth.caller import Scope
from actors.auth.limits import KeyLimits
from domain.values import UserId
from tests.builders.authors import NOON
from tests.builders.limited_keys import LimitedWorld, limited_world, services, users
from tests.fakes.edge import LocalBackend, edge
from tests.fakes.shards import in_loop

KEYS = "/admin/keys"
BODY = {"name": "shop", "scope": "write"}
ORG = users(prefix="org/")
WITHIN = [
    {"user_ids": ["org/ada"]},
    {"user_ids": ["org/ada", "org/bob"], "services": ["chat"]},
    {"user_id_prefix": "org/"},
    {"user_id_prefix": "org/a", "user_ids": ["org/bob"]},
]
WIDER: list[dict[str, Any]] = [
    {},
    {"services": ["chat"]},
    {"user_ids": ["eve"]},
    {"user_ids": ["org/ada", "eve"]},
    {"user_id_prefix": "o"},
    {"user_id_prefix": "org/", "user_ids": ["eve"]},
]


def read_again(backend: LocalBackend) -> None:
    """Have the process know what is kept of keys, as it does every two seconds."""
    backend.keys._take(backend.keys._store.list())


@in_loop
async def test_a_key_that_was_made_calls_and_is_shown_once() -> None:
    async with edge() as (http, backend):
        asked = BODY | {"expires_in": 3600, "user_ids": ["ada"], "services": ["chat"]}
        made = (await http.post(KEYS, json=asked)).json()
        listed = (await http.get(KEYS)).json()["items"]
        read_again(backend)
        headers = {"Authorization": f"Bearer {made['key']}"}
        own = await http.get("/subscription/status?user_id=ada", headers=headers)
        other = await http.get("/subscription/status?user_id=bob", headers=headers)

    assert (own.status_code, other.status_code) == (200, 403)
    assert listed[-1] == {name: made[name] for name in listed[-1]}
    assert made["key"] not in str(listed)
    moments = [datetime.fromisoformat(made[name]) for name in ("created_at", "expires_at")]
    assert moments[1] - moments[0] == timedelta(hours=1)
    assert (made["user_ids"], made["user_id_prefix"], made["services"]) == (["ada"], None, ["chat"])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"scope": "owner"}, "scope"),
        ({"name": ""}, "name"),
        ({"name": "a\n"}, "name"),
        ({"user_ids": []}, "user_ids"),
        ({"user_ids": ["a b"]}, "user_ids.0"),
        ({"user_ids": ["u"] * 101}, "user_ids"),
        ({"user_id_prefix": ""}, "user_id_prefix"),
        ({"services": []}, "services"),
        ({"services": [""]}, "services.0"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": 10**12}, "expires_in"),
        ({"users": ["ada"]}, "users"),
    ],
    ids=str,
)
@in_loop
async def test_what_is_no_limit_makes_no_key(wrong: dict[str, Any], field: str) -> None:
    """Nobody has a key for all users who meant to name some."""
    async with edge() as (http, _):
        got = await http.post(KEYS, json=BODY | wrong)
        listed = (await http.get(KEYS)).json()["items"]

    assert got.status_code == 422
    assert [error["field"] for error in got.json()["errors"]] == [field]
    assert len(listed) == 1  # The one that asks.


@pytest.mark.parametrize("scope", ["read", "write", "admin"])
@pytest.mark.parametrize("limits", WITHIN, ids=str)
@in_loop
async def test_a_limited_key_makes_keys_within_its_limits(
    scope: str, limits: dict[str, Any]
) -> None:
    async with limited_world() as world:
        got = await world.ask(ORG, "POST", KEYS, BODY | {"scope": scope} | limits)

    assert got.status_code == 201
    assert {name: got.json()[name] for name in limits} == limits


@pytest.mark.parametrize("limits", WIDER, ids=str)
@in_loop
async def test_a_limited_key_makes_none_that_is_wider(limits: dict[str, Any]) -> None:
    async with limited_world() as world:
        count = len(world.keys.kept)
        got = await world.ask(ORG, "POST", KEYS, BODY | limits)
        kept = len(world.keys.kept)

    assert (got.status_code, got.json()["code"]) == (403, "forbidden")
    assert kept == count + 1  # The one that asks.


def kept(world: LimitedWorld, limits: KeyLimits | None) -> str:
    _, key = make_key("other", Scope.READ, NOON, limits=limits)
    world.keys.insert(key)
    return key.key_id


@pytest.mark.parametrize(
    ("limits", "sees"),
    [
        (None, False),
        (users("eve"), False),
        (services("chat"), False),
        (users("org/ada"), True),
        (KeyLimits(frozenset({UserId("org/a")}), None, frozenset({"chat"})), True),
    ],
    ids=str,
)
@in_loop
async def test_a_limited_key_has_to_do_with_no_wider_key(
    limits: KeyLimits | None, *, sees: bool
) -> None:
    async with limited_world() as world:
        key_id = kept(world, limits)
        listed = await world.ask(ORG, "GET", KEYS)
        rotated = await world.ask(ORG, "POST", f"{KEYS}/{key_id}/rotate", {"overlap": 60})
        revoked = await world.ask(ORG, "DELETE", f"{KEYS}/{key_id}")
        unlimited = await world.ask(None, "DELETE", f"{KEYS}/{key_id}")

    assert (key_id in [key["key_id"] for key in listed.json()["items"]]) is sees
    assert rotated.status_code == (201 if sees else 404)
    assert revoked.status_code == (200 if sees else 404)
    assert unlimited.status_code == (404 if sees else 200)


@in_loop
async def test_a_key_is_rotated_with_an_overlap_and_keeps_its_limits() -> None:
    async with edge() as (http, backend):
        old = (await http.post(KEYS, json=BODY | {"user_ids": ["ada"], "expires_in": 900})).json()
        new = (await http.post(f"{KEYS}/{old['key_id']}/rotate", json={"overlap": 0})).json()
        ended = await http.post(f"{KEYS}/{old['key_id']}/rotate")
        read_again(backend)
        headers = [{"Authorization": f"Bearer {key['key']}"} for key in (old, new)]
        path = "/subscription/status?user_id=ada"
        seen = [(await http.get(path, headers=each)).status_code for each in headers]

    assert seen == [401, 200]
    assert ended.status_code == 404
    assert new["user_ids"] == ["ada"]
    moments = [datetime.fromisoformat(new[name]) for name in ("created_at", "expires_at")]
    assert moments[1] - moments[0] == timedelta(seconds=900)


@in_loop
async def test_pages_of_keys_follow_one_another_and_end() -> None:
    async with edge() as (http, _):
        made = [(await http.post(KEYS, json=BODY)).json()["key_id"] for _ in range(4)]
        seen: list[str] = []
        cursor = None
        while True:
            query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
            page = (await http.get(KEYS, params=query)).json()
            seen += [key["key_id"] for key in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        wrong = await http.get(KEYS, params={"cursor": "none"})

    assert seen[1:] == made
    assert wrong.status_code == 422


@in_loop
async def test_so_many_keys_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_desk, "KEYS_MAX", 2)
    async with edge() as (http, _):
        answers = [await http.post(KEYS, json=BODY) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 422]


@in_loop
async def test_a_limited_key_makes_so_many_and_leaves_room_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_desk, "LIMITED_KEYS_MAX", 3)
    body = BODY | {"user_id_prefix": "org/"}
    async with limited_world() as world:
        answers = []
        for _ in range(4):
            made = await world.ask(ORG, "POST", KEYS, body)
            answers.append(made.status_code)
            if made.status_code == 201:  # What is revoked is kept for a while all the same.
                await world.ask(ORG, "DELETE", f"{KEYS}/{made.json()['key_id']}")
        unlimited = await world.ask(None, "POST", KEYS, BODY)

    assert answers[-1] == 422
    assert answers.count(201) >= 1
    assert unlimited.status_code == 201


@pytest.mark.parametrize(
    ("method", "path"), [("GET", KEYS), ("POST", KEYS), ("DELETE", f"{KEYS}/k")]
)
@in_loop
async def test_while_the_database_is_away_it_is_to_be_repeated(method: str, path: str) -> None:
    async with limited_world() as world:
        await world.ask(None, "GET", KEYS)
        world.keys.away = True
        got = await world.http.request(method, path, json=BODY if method == "POST" else None)

    assert (got.status_code, got.json()["code"]) == (503, "storage_unavailable")
