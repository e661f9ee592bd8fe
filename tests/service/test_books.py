"""Under load and with shards killed, the books agree to the credit."""

import asyncio

import pytest

from tests.seeds import SEED
from tests.service.load import audit, load_with_kills, make_users
from tests.service.running import RunningService

pytestmark = pytest.mark.service

USERS = 400
SECONDS = 12.0


@pytest.fixture(scope="module", autouse=True)
def _users(service: RunningService) -> None:
    asyncio.run(make_users(service, USERS))


@pytest.mark.parametrize("seed", [SEED])
def test_no_acknowledged_charge_is_lost_or_doubled_while_shards_are_killed(
    service: RunningService, seed: int
) -> None:
    sent = asyncio.run(load_with_kills(service, USERS, SECONDS, seed, kill_every=4.0))

    books = audit(service, sent)
    assert sent.acknowledged
    assert books["acknowledged"] == books["usages"] == books["dailycredits"]
    assert books["charges"] == books["records"]
