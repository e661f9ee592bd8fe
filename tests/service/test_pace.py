"""One user's callers, as many as they are, have their pace beside another user's, over HTTP."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from actors.settings import Settings
from tests.service.isolation import payment_for
from tests.service.isolation_attacks import CONNECTIONS, LISTER, Target, charge, send
from tests.service.running import RunningService

SECONDS = 3.0
PACE: int = Settings.model_fields["user_calls_per_second"].default


@pytest.mark.service
def test_a_user_with_64_callers_has_its_pace_while_another_is_charged(
    service: RunningService, http: httpx.Client
) -> None:
    for user_id in (LISTER, "beside"):
        paid = payment_for(user_id, 0, 10**9, 30)
        http.post("/subscription/credits", json=paid).raise_for_status()
    target = Target(service.address, service.key, SECONDS)

    def charged() -> bool:
        answer = http.post("/subscription/usage", json=charge("beside", 1))
        return answer.status_code == 201

    with ThreadPoolExecutor(1) as attackers:
        attack = attackers.submit(send, target, "charges")
        answered = []
        while not attack.done():
            answered.append(charged())

    # Before the first charge of another, and within the last call of each, there may be some more.
    assert answered
    assert all(answered)
    assert 0 < attack.result()["201"] <= SECONDS * PACE + 4 * CONNECTIONS
