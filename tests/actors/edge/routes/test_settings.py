"""Settings of the run time over HTTP: which origins may call, and where credits are low."""

import asyncio
from typing import Any

import httpx
import pytest

from actors.edge.app import build_app
from actors.edge.origins import Shared
from actors.runtime import service_settings
from actors.runtime.service_settings import (
    ORIGIN_LENGTH_MAX,
    ORIGINS_MAX,
    PERCENTS_MAX,
    ServiceSettings,
    SettingsChange,
    follow_settings,
)
from tests.fakes.edge import edge
from tests.fakes.memory_settings import MemorySettings
from tests.fakes.shards import in_loop, until

SETTINGS, PAGE, OTHER = "/admin/settings", "https://app.example", "https://other.example:8443"
ALLOWED = "access-control-allow-origin"


@in_loop
async def test_origins_are_set_as_a_whole_beside_the_environments() -> None:
    async with edge() as (http, _):
        before = (await http.get(SETTINGS)).json()
        both = (await http.patch(SETTINGS, json={"cors_origins": [PAGE, OTHER, PAGE]})).json()
        one = (await http.patch(SETTINGS, json={"cors_origins": [OTHER]})).json()
        after = (await http.get(SETTINGS)).json()
        acts = (await http.get("/admin/audit")).json()["items"]

    assert (before["cors_origins"], both["cors_origins"]) == ([], [PAGE, OTHER])
    assert (
        one
        == after
        == {
            "cors_origins": [OTHER],
            "environment_cors_origins": ["https://www.app.example"],
            "low_credits_percents": None,
            "environment_low_credits_percent": 20,
        }
    )
    assert [act["action"] for act in acts] == [f"PATCH {SETTINGS}"] * 2


@pytest.mark.parametrize(
    "origins",
    [
        ["*"],
        ["app.example"],
        ["https://app.example/"],
        ["https://APP.example"],
        ["https://ada@app.example/x"],
        ["https://app.example:port"],
        ["ftp://app.example"],
        ["null"],
        [""],
        [7],
        [None],
        ["https://" + "a" * ORIGIN_LENGTH_MAX],
        [f"https://a{number}.example" for number in range(ORIGINS_MAX + 1)],
        "https://app.example",
        None,
    ],
    ids=lambda origins: str(origins)[:40],
)
@in_loop
async def test_what_is_no_origin_is_refused(origins: Any) -> None:
    async with edge() as (http, backend):
        answer = await http.patch(SETTINGS, json={"cors_origins": origins})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert backend.memory_settings.kept == ServiceSettings()


@in_loop
async def test_thresholds_are_set_as_a_whole_and_null_is_the_environments() -> None:
    async with edge() as (http, _):
        seen = []
        for percents in ([5, 20, 10], [99], None, [1, 2, 3, 4, 5, 6, 7, 8], []):
            answer = await http.patch(SETTINGS, json={"low_credits_percents": percents})
            assert answer.json() == (await http.get(SETTINGS)).json()
            seen.append(answer.json()["low_credits_percents"])

    assert seen == [[20, 10, 5], [99], None, [8, 7, 6, 5, 4, 3, 2, 1], None]
    assert answer.json()["environment_low_credits_percent"] == 20


@in_loop
async def test_what_is_left_out_of_a_change_stays() -> None:
    async with edge() as (http, backend):
        await http.patch(SETTINGS, json={"cors_origins": [PAGE]})
        await http.patch(SETTINGS, json={"low_credits_percents": [30]})
        both = backend.memory_settings.kept
        await http.patch(SETTINGS, json={"cors_origins": []})
        one = backend.memory_settings.kept
        await http.patch(SETTINGS, json={"cors_origins": [OTHER], "low_credits_percents": None})
        neither = backend.memory_settings.kept
        nothing = await http.patch(SETTINGS, json={})

    assert (both, one) == (ServiceSettings((PAGE,), (30,)), ServiceSettings((), (30,)))
    assert neither == ServiceSettings((OTHER,))
    assert (nothing.status_code, nothing.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "percents",
    [
        [0],
        [100],
        [-1],
        [20, 20],
        [20.0],
        ["20"],
        [True],
        [None],
        [[20]],
        list(range(1, PERCENTS_MAX + 2)),
        20,
        "20",
        {"20": 10},
    ],
    ids=str,
)
@in_loop
async def test_what_is_no_threshold_is_refused(percents: Any) -> None:
    async with edge() as (http, backend):
        body = {"cors_origins": [PAGE], "low_credits_percents": percents}
        answer = await http.patch(SETTINGS, json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert backend.memory_settings.kept == ServiceSettings()


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@in_loop
async def test_while_the_database_is_away_it_is_to_be_repeated(method: str) -> None:
    async with edge() as (http, backend):
        backend.memory_settings.away = True
        body: dict[str, list[str]] | None = {"cors_origins": []} if method == "PATCH" else None
        answer = await http.request(method, SETTINGS, json=body)

    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")


@pytest.mark.parametrize("environment", [(), ("https://www.app.example",)])
@in_loop
async def test_pages_of_an_origin_that_is_added_may_call_until_it_is_taken_away(
    environment: tuple[str, ...],
) -> None:
    async with edge() as (known, backend):
        app = Shared(build_app(backend), environment)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://edge", headers=known.headers
        ) as http:
            told = []
            for origins in ((), (PAGE,), ()):
                app.take(ServiceSettings(origins))
                answers = [
                    await http.get("/admin/shards", headers={"Origin": origin})
                    for origin in (PAGE, "https://www.app.example", "https://evil.example")
                ]
                told.append([answer.headers.get(ALLOWED) for answer in answers])
                assert {answer.status_code for answer in answers} == {200}

    always = environment[0] if environment else None
    assert told == [[None, always, None], [PAGE, always, None], [None, always, None]]


@in_loop
async def test_a_process_follows_what_is_kept_and_keeps_it_while_it_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service_settings, "LOOK_SECONDS", 0.001)
    store, seen = MemorySettings(), [ServiceSettings()]
    following = asyncio.create_task(follow_settings(store, seen.append))
    store.keep(SettingsChange((PAGE,)))
    await until(lambda: seen[-1].cors_origins == (PAGE,))
    store.away = True
    await asyncio.sleep(0)
    store.away = False
    store.keep(SettingsChange((OTHER,)))
    await until(lambda: seen[-1].cors_origins == (OTHER,))
    following.cancel()
    await asyncio.wait([following])

    assert set(seen) == {ServiceSettings(), ServiceSettings((PAGE,)), ServiceSettings((OTHER,))}
