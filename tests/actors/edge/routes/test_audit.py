"""Administrators' acts are written down before they are done, with what became of them; charges are not."""

import pytest

from actors.auth.audit import ActOutcome
from actors.auth.caller import Scope
from tests.builders.limited_keys import limited_world, users
from tests.builders.route_rows import ADMIN, ROWS, Row
from tests.fakes.edge import CREDITS, edge
from tests.fakes.shards import in_loop

ACTS = [row for row in ROWS if row.access is ADMIN and row.method != "GET"]
OTHERS = [row for row in ROWS if row not in ACTS]
named = pytest.mark.parametrize("row", ACTS, ids=lambda row: f"{row.method} {row.route}")


@named
@in_loop
async def test_every_act_of_an_administrator_is_written_down(row: Row) -> None:
    async with edge() as (http, backend):
        got = await http.request(row.method, row.path, json=row.body)
        (act,) = backend.memory_audit.acts
        caller = backend.keys._keys.popitem()[1][0][2]

    assert got.status_code == row.answers
    assert (act.by, act.action) == (caller.name, f"{row.method} {row.route}")
    assert act.outcome is (ActOutcome.DONE if row.answers < 400 else ActOutcome.REFUSED)
    about_ada = "ada" in row.path or "ada" in str(row.body)
    has_a_new_id = row.route == "/users/{user_id}"  # It is what this act is for.
    assert (act.user_id == ("ada" if about_ada else None)) != has_a_new_id
    assert (act.target is not None) == ("none" in row.path)


@named
@in_loop
async def test_an_act_that_cannot_be_written_down_is_not_done(row: Row) -> None:
    async with edge() as (http, backend):
        await http.post("/subscription/credits", json=CREDITS)
        before = len(backend.shards.store.journal), len(backend.keys._store.list())
        backend.memory_audit.away = True
        got = await http.request(row.method, row.path, json=row.body)
        after = len(backend.shards.store.journal), len(backend.keys._store.list())

    assert (got.status_code, got.json()["code"]) == (503, "storage_unavailable")
    assert after == before


@pytest.mark.parametrize("is_known", [True, False])
@in_loop
async def test_the_act_that_made_a_user_anonymous_and_its_repeat_name_the_user_no_more(
    is_known: bool,
) -> None:
    headers, body = {"Idempotency-Key": "gdpr-1"}, {"mode": "anonymize"}
    async with edge() as (http, backend):
        if is_known:
            await http.post("/subscription/credits", json=CREDITS)
        for _ in range(2):
            answer = await http.request("DELETE", "/users/ada", json=body, headers=headers)
        acts = backend.memory_audit.acts

    found = answer.json()
    anonymous = found["anonymous_id"] or found["anonymization_id"]
    assert [(act.user_id, act.outcome) for act in acts] == [(anonymous, ActOutcome.DONE)] * 2


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: f"{row.method} {row.route}")
@in_loop
async def test_nothing_else_waits_for_the_audit(row: Row) -> None:
    if row.route == "/admin/audit":
        return
    async with edge() as (http, backend):
        backend.memory_audit.away = True
        got = await http.request(row.method, row.path, json=row.body)

    assert got.status_code == row.answers
    assert backend.memory_audit.acts == []


@named
@in_loop
async def test_who_may_not_do_it_leaves_nothing(row: Row) -> None:
    async with edge(Scope.WRITE) as (http, backend):
        got = await http.request(row.method, row.path, json=row.body)

    assert got.status_code == 403
    assert backend.memory_audit.acts == []


@in_loop
async def test_what_an_administrator_tried_past_the_limits_of_the_key_is_written_down() -> None:
    async with limited_world() as world:
        body = {"user_id": "bob", "credit_amount": 5, "reason": "a gift"}
        await world.ask(users("ada"), "POST", "/subscription/adjustments", body)
        (act,) = world.backend.memory_audit.acts

    assert (act.user_id, act.outcome) == ("bob", ActOutcome.REFUSED)


@in_loop
async def test_an_act_names_the_key_that_it_has_made() -> None:
    async with edge() as (http, backend):
        made = (await http.post("/admin/keys", json={"name": "shop", "scope": "read"})).json()
        new = (await http.post(f"/admin/keys/{made['key_id']}/rotate")).json()
        await http.delete(f"/admin/keys/{new['key_id']}")
        acts = [(act.target, act.made) for act in backend.memory_audit.acts]

    assert acts == [
        (None, made["key_id"]),
        (made["key_id"], new["key_id"]),
        (new["key_id"], None),
    ]


@in_loop
async def test_a_defect_leaves_an_act_that_may_have_been_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with edge() as (http, backend):
        monkeypatch.setattr(backend.operations, "validate", None)
        with pytest.raises(TypeError):
            await http.post("/admin/validate", json={})
        (act,) = backend.memory_audit.acts

    assert act.outcome is ActOutcome.FAILED


@in_loop
async def test_pages_of_acts_follow_one_another_newest_first() -> None:
    async with edge() as (http, _):
        for _number in range(5):
            await http.post("/admin/sync", json={})
        first = (await http.get("/admin/audit?limit=3")).json()
        rest = (await http.get(f"/admin/audit?limit=3&cursor={first['next_cursor']}")).json()
        others = (await http.get("/admin/audit?by=key:other")).json()
        wrong = await http.get("/admin/audit?cursor=none")
        mine = (await http.get("/admin/audit", params={"by": first["items"][0]["by"]})).json()

    ids = [act["act_id"] for act in first["items"] + rest["items"]]
    assert len(set(ids)) == 5
    assert ids == sorted(ids, reverse=True)
    assert rest["next_cursor"] is None
    assert others == {"items": [], "next_cursor": None}
    assert len(mine["items"]) == 5
    assert wrong.status_code == 422
