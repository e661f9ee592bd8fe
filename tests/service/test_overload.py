"""Twice as much as the service can do: what is accepted is answered in time, the rest at once."""

import asyncio
import json
import math
from types import SimpleNamespace
from typing import cast

import pytest

from tests.seeds import SEED
from tests.service.overload import busy_rate, give_credits, p99, percentile, run, told
from tests.service.running import RunningService

AMPLE = 1.25  # A service that has just begun to work is measured too low.
RAISES_MAX = 3  # How often a rate is doubled of which twice as much was no overload.
ACCEPTED_P99_SECONDS_MAX = 5.0  # 512 at work in each replica; a tenth of a good machine's rate.


def test_a_rate_is_measured_for_longer_where_nothing_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []

    def measured(_module: str, text: str) -> str:
        asked.append(json.loads(text)["seconds"])
        return json.dumps({"errors": {}, "operations": 0 if len(asked) < 3 else 6})

    monkeypatch.setattr("tests.service.overload.run_process", measured)

    service = cast(RunningService, SimpleNamespace(port=1, key="k"))
    assert busy_rate(service, seed=0, seconds=0.5) == 3.0
    assert asked == [0.5, 1.0, 2.0]


@pytest.mark.service
@pytest.mark.parametrize("seed", [SEED])
def test_what_is_too_much_is_refused_at_once_and_afterwards_all_is_as_before(
    service: RunningService, seed: int
) -> None:
    asyncio.run(give_credits(service))

    rate = AMPLE * busy_rate(service, seed, seconds=2.0)
    for raised in range(RAISES_MAX + 1):
        result = run(service, rate * 2**raised, (1.5, 3.0, 6.0), seed + 100 * raised)
        accepted = result.during(1, "usage", "201")
        refused = result.during(1, "usage", "overloaded")
        if refused:
            break

    assert result.others() == {}, told(result)
    assert refused, told(result)
    assert p99(accepted) < ACCEPTED_P99_SECONDS_MAX, told(result)
    assert percentile(refused, 0.5) < percentile(accepted, 0.5), told(result)
    assert result.seconds_until_as_before() < math.inf, told(result)
    assert result.books_agree, told(result)
