"""Requests that are split, truncated, pipelined, mutated, oversized: nothing fails, all go on."""

import asyncio

import httpx
import pytest

from actors.auth.caller import Scope
from tests.fakes.interface import listening
from tests.service.attack import attack
from tests.service.hostile import sendings

REQUESTS = 600


@pytest.mark.parametrize("seed", [1])
def test_hostile_requests_over_sockets_are_refused_and_others_go_on(seed: int) -> None:
    with listening() as interface:
        key = interface.keys[Scope.ADMIN].encode()

        seen = asyncio.run(attack(interface.port, key, REQUESTS, 0.0, seed))
        after = httpx.get(
            f"{interface.address}/subscription/status?user_id=ada", headers=interface.headers()
        )

    assert seen.failures == []
    assert seen.statuses.total() == len(list(sendings(REQUESTS, seed)))
    assert {"400", "413", "422"} <= set(seen.statuses)
    assert after.status_code == 200
