"""Reading RAM anew, comparing it, and the reports, as an operator asks for them over HTTP."""

import pytest

from actors.auth.caller import Scope
from domain.values import UserId
from tests.fakes.comparison import corrupt
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.shards import in_loop

ADA = UserId("ada")


@in_loop
async def test_a_sweep_repairs_and_reports_and_the_next_finds_nothing() -> None:
    async with edge() as (http, backend):
        await http.post("/subscription/credits", json=CREDITS)
        await http.post("/subscription/usage", json=USAGE)
        corrupt(backend.shards.shard, ADA)

        looked = await http.post("/admin/validate", json={"repair": False})
        repaired = await http.post("/admin/validate")
        quiet = await http.post("/admin/validate", json={})
        listed = await http.get("/admin/sweeps", params={"limit": 2})
        shown = await http.get("/subscription/status", params={"user_id": ADA})

    first, second, third = looked.json(), repaired.json(), quiet.json()
    assert (first["stale"], first["repaired"], first["drift"]) == (1, 0, 1.0)
    assert (second["stale"], second["repaired"], second["users"]) == (1, 1, [ADA])
    assert (third["checked"], third["stale"], third["drift"]) == (1, 0, 0.0)
    names = {"sweep_id", "started_at", "elapsed_ms", "missing_in_ram", "missing_in_db"}
    assert names | {"expired", "quarantined", "invariants_broken"} <= third.keys()
    assert len(listed.json()) == 2
    assert shown.json()["credits_used"] == 30


@in_loop
async def test_ram_is_read_anew_for_one_user_and_for_all() -> None:
    async with edge() as (http, backend):
        await http.post("/subscription/credits", json=CREDITS)
        await http.post("/subscription/usage", json=USAGE)
        corrupt(backend.shards.shard, ADA)

        other = await http.post("/admin/sync", json={"user_id": "bob"})
        everything = await http.post("/admin/sync")
        again = await http.post("/admin/sync", json={"user_id": ADA})

    counts = [
        tuple(answer.json()[name] for name in ("checked", "reloaded", "removed"))
        for answer in (other, everything, again)
    ]
    assert counts == [(1, 1, 0), (2, 1, 0), (1, 0, 0)]
    assert again.json()["elapsed_ms"] >= 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/admin/sync", {"user_id": "a b"}),
        ("/admin/sync", {"user": "ada"}),
        ("/admin/validate", {"repair": "yes"}),
        ("/admin/reshard", {}),
        ("/admin/reshard", {"shards": 0}),
        ("/admin/reshard", {"shards": 257}),
        ("/admin/reshard", {"shards": "2"}),
    ],
)
@in_loop
async def test_what_is_asked_for_wrongly_is_refused(path: str, body: dict[str, object]) -> None:
    async with edge() as (http, _):
        answer = await http.post(path, json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@in_loop
async def test_what_cannot_be_reached_is_to_be_tried_again() -> None:
    async with edge() as (http, backend):
        backend.shards.lost = backend.memory_agenda.unavailable = True

        answers = [await http.post("/admin/sync"), await http.get("/admin/sweeps")]

    assert [answer.json()["code"] for answer in answers] == ["storage_unavailable"] * 2


@in_loop
async def test_only_an_operator_may_ask() -> None:
    async with edge(Scope.WRITE) as (http, _):
        answers = [
            await http.post("/admin/sync"),
            await http.post("/admin/validate"),
            await http.get("/admin/sweeps"),
            await http.post("/admin/reshard", json={"shards": 2}),
            await http.get("/admin/reshard"),
        ]

    assert [answer.status_code for answer in answers] == [403] * 5


@in_loop
async def test_one_change_of_the_number_of_shards_runs_at_a_time() -> None:
    async with edge() as (http, _):
        quiet = await http.get("/admin/reshard")
        begun = await http.post("/admin/reshard", json={"shards": 4})
        again = await http.post("/admin/reshard", json={"shards": 4})
        other = await http.post("/admin/reshard", json={"shards": 3})
        shown = await http.get("/admin/reshard")

    assert (quiet.json()["shards"], quiet.json()["running"]) == (1, False)
    assert begun.json()["slots"] == 3072
    assert begun.json() == again.json() == shown.json()
    assert (other.status_code, other.json()["code"]) == (409, "reshard_running")
    assert "4 shards" in other.json()["detail"]
