"""The number of shards changes under load, up and down, and nobody notices but by a pause."""

import asyncio
import secrets
from collections import Counter
from typing import Any

import httpx

from actors.mongo.connection import connect
from tests.patience import SERVICE_SECONDS
from tests.service.reshard import Load, calling, differing, reshard
from tests.service.running import RunningService, wait_until

CALLERS = 12


def shards_of(http: httpx.Client) -> list[str]:
    return [row["shard"] for row in http.get("/admin/shards").json()]


def is_list_refused(problem: str) -> bool:
    """Say whether a list was refused that had waited five seconds for others of its caller's."""
    return "/monthly?" in problem and ": 503 " in problem and '"code":"overloaded"' in problem


def ask_for_another(http: httpx.Client, shards: int) -> httpx.Response:
    """Ask for a number of shards as soon as a change to another one runs."""
    while not http.get("/admin/reshard").json()["running"]:
        pass
    return http.post("/admin/reshard", json={"shards": shards})


def test_shards_come_and_go_under_load(service: RunningService, http: httpx.Client) -> None:
    run = f"reshard-{secrets.token_hex(4)}"
    database = connect(service.mongo_uri, "allotment")

    async def there_and_back() -> tuple[Any, ...]:
        async with calling(service, run, Load(CALLERS, pause=0.0)) as seen:
            refused, up = await asyncio.gather(
                asyncio.to_thread(ask_for_another, http, 5), reshard(service, 3, kill=False)
            )
            there = await asyncio.to_thread(shards_of, http)
            down = await reshard(service, 2, kill=True)
        return seen, await differing(seen, run, database), refused, up, there, down

    seen, (lost, doubled), refused, up, there, down = asyncio.run(there_and_back())
    database.client.close()

    assert [problem for problem in seen.problems if not is_list_refused(problem)] == []
    lists = Counter(answer.code for answer in seen.answers if answer.what == "GET monthly")
    assert lists[200] >= CALLERS
    assert lists[200] > lists[503]
    assert seen.old == []
    assert (lost, doubled) == (0, 0)
    assert seen.charged.total() > CALLERS
    assert (refused.status_code, refused.json()["code"]) == (409, "reshard_running")
    assert there == ["shard-000", "shard-001", "shard-002"]
    assert shards_of(http) == ["shard-000", "shard-001"]
    assert (up["shards_before"], up["shards"], up["moved"]) == (2, 3, up["slots"])
    assert (down["shards_before"], down["shards"], down["moved"]) == (3, 2, down["slots"])
    # What the tests before have done to the database may still hold up who follows its changes.
    wait_until(lambda: http.get("/readyz").status_code == 200, SERVICE_SECONDS)
